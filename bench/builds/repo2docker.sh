#!/bin/sh
# In repo2docker's place: says as many lines as the repository's name asks for, as repo2docker says them, and pushes an
# image of no layers. `l400-b8-g400-h2000-x1-anything`: 400 lines, 8 at a time with 400 ms between, 2 s of silence, exit 1.
set -u
for last; do :; done
name=${last##*/}
lines=0 batch=0 gap=0 hold=0 code=0
IFS=-
for word in ${name%.git}; do
  case $word in
  l[0-9]*) lines=${word#l} ;;
  b[0-9]*) batch=${word#b} ;;
  g[0-9]*) gap=${word#g} ;;
  h[0-9]*) hold=${word#h} ;;
  x[0-9]*) code=${word#x} ;;
  esac
done
unset IFS
pause() { [ "$1" -eq 0 ] || sleep "$(($1 / 1000)).$(printf %03d $(($1 % 1000)))"; }
say() { printf '{"message": "%s\\n", "phase": "%s"}\n' "$1" "$2" >&2; }
[ "$batch" -gt 0 ] || batch=$lines
from=1
while [ "$from" -le "$lines" ]; do
  to=$((from + batch - 1))
  [ "$to" -le "$lines" ] || to=$lines
  seq -f '{"message": "line %.0f\n", "phase": "building"}' "$from" "$to" >&2
  from=$((to + 1))
  pause "$gap"
done
pause "$hold"
if [ "$code" -eq 0 ]; then
  host=${LABWRIGHT_IMAGE%%/*}
  rest=${LABWRIGHT_IMAGE#*/}
  base=http://$host/v2/${rest%:*}
  type=application/vnd.oci.image.manifest.v1+json
  blob=sha256:44136fa355b3678a1146ad16f7e8649e94fb4fc21fe77e8310c060f61caaff8a
  config="{\"mediaType\":\"application/vnd.oci.image.config.v1+json\",\"digest\":\"$blob\",\"size\":2}"
  manifest="{\"schemaVersion\":2,\"mediaType\":\"$type\",\"config\":$config,\"layers\":[]}"
  curl -fsS -o /dev/null -X POST "$base/blobs/uploads/?mount=$blob&from=bench-builds/empty" \
    --next -fsS -o /dev/null -X PUT -H "Content-Type: $type" --data "$manifest" "$base/manifests/${rest##*:}" || code=3
fi
[ "$code" -eq 0 ] || say "The scripted build exits with $code" failed
say "ended $(date +%s%N)" building
exit "$code"
