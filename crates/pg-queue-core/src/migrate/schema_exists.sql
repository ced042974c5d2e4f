-- Whether the schema is there. `create schema if not exists` would need a right that its user may not have.
-- parameters: $1 schema    rows: one boolean
select exists (select from pg_namespace where nspname = $1)
