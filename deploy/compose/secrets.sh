#!/bin/sh
# secrets.sh [FOLDER]: the secrets of deploy/compose.yaml, random tokens, one in each file. What is there is kept.
set -eu
folder=${1:-$(dirname "$0")/secrets}
mkdir -p "$folder"
for name in ray app ops metrics grafana; do
    file=$folder/$name
    [ -s "$file" ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' > "$file"
    # Compose mounts the file with its mode, and the containers are other users.
    chmod 0444 "$file"
done
chmod 0700 "$folder"
printf '*\n' > "$folder/.gitignore"
echo "secrets are in $folder; clients show what is in $folder/app"
