#!/bin/sh
# Runs once, on an empty data directory: a role and a database for each server; neither sees the other's.
set -eu
for server in prefect mlflow; do
  SECRET="${SECRETS:-/run/secrets}/${server}_database" psql --quiet --set ON_ERROR_STOP=1 --set server="$server" \
    --dbname postgres <<'SQL'
\set password `cat "$SECRET"`
create role :"server" login password :'password';
create database :"server" owner :"server";
revoke connect on database :"server" from public;
SQL
done
psql --quiet --set ON_ERROR_STOP=1 --dbname postgres <<'SQL'
create database mlflow_auth owner mlflow;
revoke connect on database mlflow_auth from public;
SQL
