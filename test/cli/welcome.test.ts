import { describe, expect, it } from 'vitest';
import { HUB_TOKEN_FILE, welcome } from '../../src/cli/welcome.ts';

const FACTS = {
  address: 'http://127.0.0.1:8080',
  pathPrefix: '/labwright',
  username: 'ada',
  userToken: 'token-of-ada',
  hubToken: 'token-of-the-hub',
  image: 'localhost/jupyterlab:local',
  size: 'small',
};

describe('the greeting', () => {
  it('says how to create a lab in the sandbox', () => {
    const text = welcome({ ...FACTS, localLabs: false });
    expect(text).toContain('export TOKEN=token-of-ada');
    expect(text).toContain('http://127.0.0.1:8080/labwright/spawner/v1/labs/ada/create');
  });

  it('shows how to build an image only where there is something to build', () => {
    const repository = 'http://127.0.0.1:3000/demo/notebooks';
    const text = welcome({ ...FACTS, repository, localLabs: false });
    expect(text).toContain(`/labwright/builds/v1/builds -d '{"repository":"${repository}","ref":"main"}'`);
    expect(text).toContain(`"image_repo":"${repository}"`);
    expect(welcome({ ...FACTS, localLabs: false })).not.toMatch(/image_repo|builds/);
  });

  it('says of local labs what they are, where the token is and what to do next', () => {
    const text = welcome({ ...FACTS, localLabs: true });
    expect(text.replaceAll(/\s+/g, ' ')).toContain(
      'Nothing isolates them: whoever may create a lab runs commands as this',
    );
    expect(text).toContain(HUB_TOKEN_FILE);
    expect(text).toContain('.venv/bin/jupyterhub -f deploy/jupyterhub/laptop/jupyterhub_config.py');
  });

  it('does not show the tokens that a file is for', () => {
    expect(welcome({ ...FACTS, localLabs: true })).not.toMatch(/token-of/);
  });
});
