-- What the database has.
-- parameters: none    rows: one per applied migration, oldest first    index: primary key
select version, name, checksum, breaking from {schema}.pg_queue_migrations order by version
