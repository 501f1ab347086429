"""Tables of the ledger: one row per run, stage of a run, finished execution, decision and withdrawal.

And one per deployment whose failure somebody was told of and that has not run well since.
"""

SCHEMA = """
create table if not exists runs (
    run_id text primary key, recipe text not null, document text not null, state text not null,
    started real not null, ended real, pid integer not null, pid_started real not null,
    flow_run_id text, mlflow_run_id text, summary text);
create table if not exists run_stages (
    run_id text not null, stage text not null, kind text not null, key text not null, state text not null,
    started real, ended real, detail text not null default '',
    primary key (run_id, stage));
create table if not exists executions (
    execution_id integer primary key, run_id text not null, pipeline text not null, stage text not null,
    kind text not null, key text not null, input_key text not null, identity text not null,
    inputs text not null, output text not null, fingerprint text not null, name text not null, version integer not null,
    result text not null, environment text not null, seconds real not null, ended real not null);
create index if not exists executions_by_key on executions (key);
create index if not exists executions_by_input_key on executions (input_key);
create index if not exists executions_by_stage on executions (pipeline, stage);
create table if not exists decisions (
    decision_id integer primary key, made real not null, kind text not null, model text not null,
    from_version integer, to_version integer, actor text not null, reason text not null, evidence text not null);
create table if not exists withdrawals (
    withdrawal_id integer primary key, made real not null, scope text not null, source text,
    row_hashes blob not null, actor text not null, reason text not null, untouched text not null,
    models text not null, undoes integer);
create table if not exists failures_told (
    deployment text primary key, words text not null, told real not null);
create table if not exists alarms (
    run_id text not null, stage text not null, step integer not null, name text not null, alarm text not null,
    primary key (run_id, stage, step, name));
create table if not exists code_parts (fingerprint text primary key, parts text not null);
create table if not exists file_facts (
    path text not null, what text not null, size integer not null, mtime_ns integer not null,
    inode integer not null, fact text not null, primary key (path, what));
"""
