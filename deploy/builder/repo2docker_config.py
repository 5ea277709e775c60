"""The configuration of repo2docker in the builder image: what is fetched, and from where.

Its own list of content providers asks servers on the internet for lists of archives before it clones anything.
"""

import os
from pathlib import Path

from labwright_builder.certificates import trust
from labwright_builder.content import CheckedGit, CheckedZenodo

c = get_config()  # type: ignore[name-defined]  # noqa: F821
c.Repo2Docker.content_providers = [CheckedZenodo, CheckedGit]
if (authorities := Path(os.environ.get("LABWRIGHT_CERTIFICATE_AUTHORITIES", ""))).is_file():
    trust(authorities, Path("/tmp"))  # noqa: S108 - of this container
