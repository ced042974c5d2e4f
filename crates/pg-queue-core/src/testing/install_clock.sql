-- Puts a clock that can be moved in the place of the jobs' own, showing the same time; does nothing when it is there. For
-- databases of tests.
-- parameters: none    rows: none    locks: two that do this at once wait for each other
--
-- The function keeps its id, so that defaults and whatever else names it goes on, and it stays STABLE: an index serves a
-- comparison with it, asked once for each walk. It cannot be inlined any more, because it reads a table.
do $install$
begin
    perform pg_advisory_xact_lock(hashtextextended('{schema}.pg_queue_test_clock', 0));
    if to_regclass('{schema}.pg_queue_test_clock') is null then
        create table {schema}.pg_queue_test_clock (
            the_only_one boolean primary key default true check (the_only_one),
            -- How far it is ahead of the server's clock; less than nothing when it is behind.
            ahead_us bigint not null default 0
        );
        -- Whoever may enqueue asks for the time.
        grant select on {schema}.pg_queue_test_clock to public;
    end if;
    insert into {schema}.pg_queue_test_clock default values on conflict do nothing;
    create or replace function {schema}.pg_queue_now() returns timestamptz
    language sql stable parallel safe
    as 'select now() + coalesce((select ahead_us from {schema}.pg_queue_test_clock), 0) * interval ''1 microsecond''';
end
$install$
