#!/usr/bin/env bash
# Makes the passwords of the users once, and from them users.acl and sentinel.conf with their digests:
#   bash deploy/redis/users.sh FOLDER [MASTER]
# FOLDER gets addrgate, replica, sentinel, operator (a password each, readable by its owner alone), users.acl, masterauth.conf and
# sentinel.conf. The gateway takes FOLDER/addrgate as redis.password_file. A second run keeps the passwords.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
folder=${1:?usage: users.sh FOLDER [MASTER]} master=${2:-127.0.0.1}
umask 077
mkdir -p "$folder"
expressions=(-e "s/^\(sentinel monitor mymaster\) MASTER/\1 $master/")
for user in addrgate replica sentinel operator; do
  [ -s "$folder/$user" ] || head -c 32 /dev/urandom | sha256sum | cut -c1-48 | tr -d '\n' >"$folder/$user"
  expressions+=(-e "s/@${user^^}_SHA256@/$(sha256sum <"$folder/$user" | cut -d' ' -f1)/" -e "s/@${user^^}@/$(cat "$folder/$user")/")
done
sed "${expressions[@]}" "$here/users.acl.template" >"$folder/users.acl"
sed "${expressions[@]}" "$here/sentinel.conf" >"$folder/sentinel.conf"
echo "masterauth $(cat "$folder/replica")" >"$folder/masterauth.conf"
