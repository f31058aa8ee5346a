#!/bin/sh
# curl.sh URL TOKEN FILE...   adds the members in each FILE
set -eu
url=$1 token=$2
shift 2
for file; do
    curl --silent --show-error --max-time 20 "$url" \
        --header 'Content-Type: application/x-www-form-urlencoded' \
        --header "Authorization: Basic $token" \
        --data-urlencode "queuemember=$(cat "$file")" \
        --write-out ' %{http_code}\n'
done
