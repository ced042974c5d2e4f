-- Groups: who reads a log, and what of it they have seen.
--
-- A group has seen what its snapshot `seen` shows. A window is what a later snapshot, `upto`, shows beyond it, and is dealt out in
-- the order (xid, id), in batches; then `upto` becomes `seen`. A transaction that was open at `seen` and has committed since
-- belongs to the next window, whatever its numbers are: so nothing is skipped, and nobody waits for those that are still open.
create table {schema}.pg_queue_groups (
    log text not null,
    name text not null constraint name_length check (octet_length(name) between 1 and 100),
    seen pg_snapshot not null,
    -- The window that is being dealt out, and how far that has come; null between two.
    upto pg_snapshot,
    at_xid xid8,
    at_id bigint,
    -- Of the first transaction that `seen` does not show, messages up to this number were seen all the same: a group was moved there.
    skip_id bigint,
    created_at timestamptz not null default now(),
    -- Messages that were dropped with their segment before this group had seen them.
    lost bigint not null default 0,
    -- A message that has failed so often is parked.
    max_attempts smallint not null constraint max_attempts_range check (max_attempts >= 1),
    -- How long after its first failure a message is tried again; twice as long after each further one, up to an hour.
    retry_ms bigint not null constraint retry_range check (retry_ms >= 0),
    primary key (log, name)
)
-- A row is changed with every batch.
with (fillfactor = 10, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);

-- Batches that members have in hand: a part of a window, or messages that are tried again.
create table {schema}.pg_queue_batches (
    log text not null,
    group_name text not null,
    -- Drawn by the member: it is the proof that the batch is its.
    id bigint not null,
    lease_until timestamptz not null,
    retry boolean not null,
    seen pg_snapshot,
    upto pg_snapshot,
    skip_id bigint,
    after_xid xid8,
    after_id bigint,
    last_xid xid8,
    last_id bigint,
    primary key (log, group_name, id)
)
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);

-- Messages that a group has seen and not done: to be tried again, or parked. With the message, so that they outlive its segment.
create table {schema}.pg_queue_failures (
    log text not null,
    group_name text not null,
    xid xid8 not null,
    id bigint not null,
    sent_at timestamptz not null,
    due_at timestamptz not null,
    parked_at timestamptz,
    -- The batch in which it is being tried.
    batch bigint,
    -- How often it was tried, and how often a member never said what came of it.
    attempts smallint not null,
    lapses smallint not null default 0,
    error text,
    attributes json,
    body json not null,
    primary key (log, group_name, xid, id)
)
with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000, vacuum_truncate = off);

create index pg_queue_failures_due on {schema}.pg_queue_failures (log, group_name, due_at)
where batch is null and parked_at is null;
create index pg_queue_failures_batch on {schema}.pg_queue_failures (log, group_name, batch) where batch is not null;

-- The snapshot of now, with this transaction as one that is still open: what it publishes from here on is not yet seen. With
-- `before`, the same for those transactions only that come before it.
create function {schema}.pg_queue_snapshot(before xid8 default null) returns pg_snapshot
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    present constant pg_snapshot := pg_current_snapshot();
    ending constant xid8 := least(before, pg_snapshot_xmax(present));
    running xid8[];
begin
    running := array(
        select distinct it.xid
        from (
            select pg_snapshot_xip(present) as xid
            union all
            select pg_current_xact_id_if_assigned()
        ) as it
        where it.xid < ending
        order by it.xid
    );
    return format('%s:%s:%s', coalesce(running[1], ending), ending, array_to_string(running, ','))::pg_snapshot;
end
$$;

-- What `upto` shows of a log and `seen` does not, after one message and up to another, in order; without the messages up to `skip_id`
-- of the first transaction that `seen` does not show.
--
-- Two looks into the primary key: at the transactions that were open at `seen` and are so no more, and at those that began later.
create function {schema}.pg_queue_window(
    log text, seen pg_snapshot, upto pg_snapshot, skip_id bigint,
    after_xid xid8, after_id bigint, last_xid xid8, last_id bigint, most integer
)
returns table (xid xid8, id bigint, sent_at timestamptz, attributes json, body json)
language plpgsql
set search_path = pg_catalog, pg_temp
-- Statistics are always wrong: the newest segment was empty when it was last analysed.
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
declare
    selection constant text := format(
        'select m.xid, m.id, m.sent_at, m.attributes, m.body from %I.%I as m', '{schema_name}', 'log_' || log
    );
    late constant xid8[] := array(
        select it.xid from pg_snapshot_xip(seen) as it (xid) where pg_visible_in_snapshot(it.xid, upto)
    );
    from_xid constant xid8 := coalesce(after_xid, '0');
    from_id constant bigint := coalesce(after_id, 0);
    to_xid constant xid8 := coalesce(last_xid, '18446744073709551615');
    to_id constant bigint := coalesce(last_id, 9223372036854775807);
    found_late integer := 0;
begin
    if late <> '{}' then
        return query execute selection ||
            ' where m.xid = any ($1) and (m.xid, m.id) > ($2, $3) and (m.xid, m.id) <= ($4, $5) order by m.xid, m.id limit $6'
        using late, from_xid, from_id, to_xid, to_id, most;
        get diagnostics found_late = row_count;
    end if;
    if found_late < most then
        return query execute selection ||
            ' where m.xid >= $1 and m.xid < $2 and (m.xid, m.id) > ($3, $4) and (m.xid, m.id) <= ($5, $6)
                and pg_visible_in_snapshot(m.xid, $7) and (m.xid > $8 or m.id > $9) order by m.xid, m.id limit $10'
        using greatest(pg_snapshot_xmax(seen), from_xid), pg_snapshot_xmax(upto), from_xid, from_id, to_xid, to_id, upto,
            pg_snapshot_xmax(seen), coalesce(skip_id, 0), most - found_late;
    end if;
end
$$;

-- Takes back what members have had for longer than they were given. Those messages failed once more; a message to which that
-- happens again and again may be what kills them, and is dealt out alone then.
--
-- A member that acknowledges at this moment has locked its batch, which is skipped; one that comes later finds it gone.
create function {schema}.pg_queue_lapse(of_log text, of_group text, most_attempts smallint) returns void
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    lapsed {schema}.pg_queue_batches;
    said constant text := 'the lease ran out: the member was stopped, or took too long';
begin
    for lapsed in
        select b.* from {schema}.pg_queue_batches as b
        where b.log = of_log and b.group_name = of_group and b.lease_until <= {now}
        for update skip locked
    loop
        if lapsed.retry then
            update {schema}.pg_queue_failures as f
            set attempts = f.attempts + 1, lapses = f.lapses + 1, batch = null, due_at = {now}, error = said,
                parked_at = case when f.attempts + 1 >= most_attempts then {now} end
            where f.log = of_log and f.group_name = of_group and f.batch = lapsed.id;
        else
            insert into {schema}.pg_queue_failures
                (log, group_name, xid, id, sent_at, due_at, parked_at, attempts, lapses, error, attributes, body)
            select of_log, of_group, w.xid, w.id, w.sent_at, {now}, case when most_attempts = 1 then {now} end, 1, 1, said,
                w.attributes, w.body
            from {schema}.pg_queue_window(
                of_log, lapsed.seen, lapsed.upto, lapsed.skip_id, lapsed.after_xid, lapsed.after_id, lapsed.last_xid, lapsed.last_id, 2147483647
            ) as w;
        end if;
        delete from {schema}.pg_queue_batches as b where b.log = of_log and b.group_name = of_group and b.id = lapsed.id;
    end loop;
end
$$;

-- Whether a group may have something to receive. Reads only: a group that has nothing to do writes nothing.
create function {schema}.pg_queue_may_receive(of_log text, of_group text) returns boolean
language plpgsql stable
set search_path = pg_catalog, pg_temp
set enable_seqscan = off set enable_bitmapscan = off set enable_sort = off set jit = off
as $$
declare
    held {schema}.pg_queue_groups;
    there boolean;
begin
    select * into held from {schema}.pg_queue_groups as g where g.log = of_log and g.name = of_group;
    -- Somebody says then that there is no such group, or that it has seen what this server has not had.
    if not found or held.upto is not null or pg_snapshot_xmax(held.seen) > pg_snapshot_xmax(pg_current_snapshot()) then
        return true;
    end if;
    if exists (
        select from {schema}.pg_queue_batches as b
        where b.log = of_log and b.group_name = of_group and b.lease_until <= {now}
    ) or exists (
        select from {schema}.pg_queue_failures as f
        where f.log = of_log and f.group_name = of_group and f.batch is null and f.parked_at is null and f.due_at <= {now}
    ) then
        return true;
    end if;
    execute format(
        'select exists (select from %1$I.%2$I as m where m.xid >= $1)
            or exists (select from %1$I.%2$I as m where m.xid = any (array(select pg_snapshot_xip($2))))',
        '{schema_name}', 'log_' || of_log
    ) into there using pg_snapshot_xmax(held.seen), held.seen;
    return there;
end
$$;

-- Deals the next batch to a member: messages that are to be tried again before new ones. Nothing if there is none.
--
-- Two members wait for each other here, at the group's row, and get different messages. The batch is the member's until
-- `lease` from now.
create function {schema}.pg_queue_receive(of_log text, of_group text, most integer, lease interval, of_batch bigint)
returns table (xid xid8, id bigint, attempt integer, sent_at timestamptz, attributes json, body json)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
#variable_conflict use_column
declare
    held {schema}.pg_queue_groups;
    first {schema}.pg_queue_failures;
    got integer := 0;
begin
    if not {schema}.pg_queue_may_receive(of_log, of_group) then
        return;
    end if;
    select * into held from {schema}.pg_queue_groups as g where g.log = of_log and g.name = of_group for no key update;
    if not found then
        raise exception 'group "%" of log "%" does not exist', of_group, of_log
            using errcode = 'undefined_object', schema = '{schema_name}', table = 'pg_queue_groups';
    end if;
    if pg_snapshot_xmax(held.seen) > pg_snapshot_xmax(pg_current_snapshot()) then
        raise exception 'group "%" of log "%" has seen transactions that this server has not had: it was restored from a dump; seek it',
            of_group, of_log
            using errcode = 'object_not_in_prerequisite_state', schema = '{schema_name}', table = 'pg_queue_groups';
    end if;
    perform {schema}.pg_queue_lapse(of_log, of_group, held.max_attempts);

    select * into first from {schema}.pg_queue_failures as f
    where f.log = of_log and f.group_name = of_group and f.batch is null and f.parked_at is null and f.due_at <= {now}
    order by f.due_at limit 1;
    if found then
        insert into {schema}.pg_queue_batches (log, group_name, id, lease_until, retry)
        values (of_log, of_group, of_batch, {now} + lease, true);
        return query
            update {schema}.pg_queue_failures as f set batch = of_batch
            where (f.log, f.group_name, f.xid, f.id) in (
                select d.log, d.group_name, d.xid, d.id from {schema}.pg_queue_failures as d
                where d.log = of_log and d.group_name = of_group and d.batch is null and d.parked_at is null
                    and d.due_at <= {now} and (d.lapses <= 1 or (d.xid, d.id) = (first.xid, first.id))
                order by d.due_at limit case when first.lapses > 1 then 1 else most end
            )
            returning f.xid, f.id, f.attempts + 1, f.sent_at, f.attributes, f.body;
        return;
    end if;

    loop
        declare
            fresh constant boolean := held.upto is null;
            after_xid constant xid8 := held.at_xid;
            after_id constant bigint := held.at_id;
            message record;
        begin
            if fresh then
                held.upto := {schema}.pg_queue_snapshot();
            end if;
            for message in
                select w.* from {schema}.pg_queue_window(
                    of_log, held.seen, held.upto, held.skip_id, after_xid, after_id, null, null, most
                ) as w
            loop
                xid := message.xid;
                id := message.id;
                attempt := 1;
                sent_at := message.sent_at;
                attributes := message.attributes;
                body := message.body;
                got := got + 1;
                return next;
            end loop;
            if got > 0 then
                insert into {schema}.pg_queue_batches
                    (log, group_name, id, lease_until, retry, seen, upto, skip_id, after_xid, after_id, last_xid, last_id)
                values (
                    of_log, of_group, of_batch, {now} + lease, false, held.seen, held.upto, held.skip_id, after_xid, after_id, xid, id
                );
            end if;
            if got = most then
                held.at_xid := xid;
                held.at_id := id;
            else
                held.seen := held.upto;
                held.upto := null;
                held.skip_id := null;
                held.at_xid := null;
                held.at_id := null;
            end if;
            -- The rest of a window that turned out to be empty: there may be another one.
            exit when got > 0 or fresh;
        end;
    end loop;
    update {schema}.pg_queue_groups as g
    set seen = held.seen, upto = held.upto, skip_id = held.skip_id, at_xid = held.at_xid, at_id = held.at_id
    where g.log = of_log and g.name = of_group;
end
$$;

-- A batch is done, but for some of its messages, which failed: those are tried again later, or parked. False when the batch is
-- the member's no more; then nothing has changed.
create function {schema}.pg_queue_acknowledge(
    of_log text, of_group text, of_batch bigint, failed_xids xid8[], failed_ids bigint[], errors text[]
)
returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    done {schema}.pg_queue_batches;
    of_the_group {schema}.pg_queue_groups;
begin
    delete from {schema}.pg_queue_batches as b
    where b.log = of_log and b.group_name = of_group and b.id = of_batch
    returning * into done;
    if not found then
        return false;
    end if;
    if not done.retry and cardinality(failed_ids) = 0 then
        return true;
    end if;
    select * into of_the_group from {schema}.pg_queue_groups as g where g.log = of_log and g.name = of_group;
    if done.retry then
        update {schema}.pg_queue_failures as f
        set attempts = f.attempts + 1, batch = null, error = failed.error,
            due_at = {now} + {schema}.pg_queue_retry_after(of_the_group.retry_ms, f.attempts + 1),
            parked_at = case when f.attempts + 1 >= of_the_group.max_attempts then {now} end
        from unnest(failed_xids, failed_ids, errors) as failed (xid, id, error)
        where f.log = of_log and f.group_name = of_group and f.batch = of_batch and (f.xid, f.id) = (failed.xid, failed.id);
        delete from {schema}.pg_queue_failures as f
        where f.log = of_log and f.group_name = of_group and f.batch = of_batch;
    else
        insert into {schema}.pg_queue_failures
            (log, group_name, xid, id, sent_at, due_at, parked_at, attempts, error, attributes, body)
        select of_log, of_group, w.xid, w.id, w.sent_at, {now} + {schema}.pg_queue_retry_after(of_the_group.retry_ms, 1),
            case when of_the_group.max_attempts = 1 then {now} end, 1, failed.error, w.attributes, w.body
        from {schema}.pg_queue_window(
            of_log, done.seen, done.upto, done.skip_id, done.after_xid, done.after_id, done.last_xid, done.last_id, 2147483647
        ) as w
        join unnest(failed_xids, failed_ids, errors) as failed (xid, id, error) on (w.xid, w.id) = (failed.xid, failed.id);
    end if;
    return true;
end
$$;

-- How long after its n-th failure a message is tried again.
create function {schema}.pg_queue_retry_after(retry_ms bigint, attempts integer) returns interval
language sql immutable parallel safe
as $$ select least(retry_ms * 2.0 ^ least(attempts - 1, 30), greatest(retry_ms, 3600000)) * interval '1 millisecond' $$;

-- Drops a group with all that it has seen and parked. False when there is none.
create function {schema}.pg_queue_drop_group(of_log text, of_group text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    gone boolean;
begin
    -- Each waits for those who deal or acknowledge at this moment, and the next one sees what they have left.
    delete from {schema}.pg_queue_groups as g where g.log = of_log and g.name = of_group;
    gone := found;
    delete from {schema}.pg_queue_batches as b where b.log = of_log and b.group_name = of_group;
    delete from {schema}.pg_queue_failures as f where f.log = of_log and f.group_name = of_group;
    return gone;
end
$$;

-- Where a group begins: {"at": "beginning"}, {"at": "end"}, {"after": [xid, id]} or {"since": microseconds since 1970}. What
-- transactions publish that are open at this moment comes in any case.
create function {schema}.pg_queue_start(of_log text, start json, out seen pg_snapshot, out skip_id bigint)
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    oldest xid8;
begin
    if start ->> 'at' = 'beginning' then
        seen := '3:3:';
    elsif start ->> 'at' = 'end' then
        seen := {schema}.pg_queue_snapshot();
    elsif start -> 'after' is not null then
        seen := {schema}.pg_queue_snapshot((start -> 'after' ->> 0)::xid8);
        skip_id := (start -> 'after' ->> 1)::bigint;
    else
        execute format(
            'select m.xid from %I.%I as m
             where m.sent_at >= $1 and m.segment in (
                 select s.segment from {schema}.pg_queue_segments as s
                 where s.log = $2 and (s.closed_at is null or s.closed_at >= $1)
             ) order by m.xid limit 1', '{schema_name}', 'log_' || of_log
        ) into oldest using to_timestamp((start ->> 'since')::numeric / 1000000), of_log;
        seen := {schema}.pg_queue_snapshot(oldest);
    end if;
end
$$;

-- Opens a new segment if the newest has grown old or large, and drops old ones that need not be kept. Answers how many were
-- dropped. Whoever has one open holds that up, for the next call.
create function {schema}.pg_queue_rotate_log(of_log text) returns integer
language plpgsql set search_path = pg_catalog, pg_temp
as $$
declare
    kept {schema}.pg_queue_logs;
    newest {schema}.pg_queue_segments;
    old {schema}.pg_queue_segments;
    leaf text;
    bytes bigint;
    dropped integer := 0;
begin
    -- One at a time, and nobody waits for it.
    if not pg_try_advisory_xact_lock(hashtextextended('{schema}.pg_queue_logs.' || of_log, 0)) then
        return 0;
    end if;
    select * into kept from {schema}.pg_queue_logs as l where l.name = of_log;
    if not found then
        return 0;
    end if;
    select * into newest from {schema}.pg_queue_segments as s where s.log = of_log and s.segment = kept.segment;
    leaf := format('%I.%I', '{schema_name}', 'log_' || of_log || '_' || newest.segment);
    bytes := pg_total_relation_size(leaf);
    -- An eighth at a time: so much more than was asked for is kept. Not while it is empty.
    if (newest.opened_at <= {now} - kept.keep_ms / 8 * interval '1 millisecond' or bytes >= kept.keep_bytes / 8)
        and pg_relation_size(leaf) > 0
    then
        perform {schema}.pg_queue_open_segment(of_log, newest.segment + 1);
        update {schema}.pg_queue_logs as l set segment = newest.segment + 1 where l.name = of_log;
        update {schema}.pg_queue_segments as s set closed_at = {now} where s.log = of_log and s.segment = newest.segment;
    end if;

    select sum(pg_total_relation_size(format('%I.%I', '{schema_name}', 'log_' || of_log || '_' || s.segment))) into bytes
    from {schema}.pg_queue_segments as s where s.log = of_log;
    for old in
        select * from {schema}.pg_queue_segments as s where s.log = of_log and s.closed_at is not null order by s.segment
    loop
        exit when not coalesce(
            old.closed_at <= {now} - kept.keep_ms * interval '1 millisecond' or bytes > kept.keep_bytes, false
        );
        leaf := format('%I.%I', '{schema_name}', 'log_' || of_log || '_' || old.segment);
        bytes := bytes - pg_total_relation_size(leaf);
        begin
            perform set_config('lock_timeout', '100ms', true);
            execute format('lock table %I.%I in access exclusive mode', '{schema_name}', 'log_' || of_log);
            -- Groups are told how much they have missed.
            execute format(
                'update {schema}.pg_queue_groups as g set lost = g.lost + missed.count
                 from (
                     select unread.name, count(m.xid) as count from {schema}.pg_queue_groups as unread
                     join %s as m on not pg_visible_in_snapshot(m.xid, unread.seen) and (
                         unread.at_xid is null or (m.xid, m.id) > (unread.at_xid, unread.at_id)
                         or not pg_visible_in_snapshot(m.xid, unread.upto)
                     )
                     where unread.log = $1 group by unread.name
                 ) as missed
                 where g.log = $1 and g.name = missed.name', leaf
            ) using of_log;
            execute format('drop table %s', leaf);
            delete from {schema}.pg_queue_segments as s where s.log = of_log and s.segment = old.segment;
        exception when lock_not_available or deadlock_detected then
            exit;
        end;
        dropped := dropped + 1;
    end loop;
    return dropped;
end
$$;

-- Drops the log with its messages, its groups and what they have parked. False when there is none.
create function {schema}.pg_queue_drop_log(name text) returns boolean
language plpgsql set search_path = pg_catalog, pg_temp set lock_timeout = '5s'
as $$
begin
    perform {schema}.pg_queue_check_log_name(name);
    perform pg_advisory_xact_lock(hashtextextended('{schema}.pg_queue_logs', 0));
    delete from {schema}.pg_queue_logs as l where l.name = pg_queue_drop_log.name;
    if not found then
        return false;
    end if;
    execute format('drop table %I.%I', '{schema_name}', 'log_' || name);
    delete from {schema}.pg_queue_segments as s where s.log = pg_queue_drop_log.name;
    perform {schema}.pg_queue_drop_group(g.log, g.name) from {schema}.pg_queue_groups as g where g.log = pg_queue_drop_log.name;
    delete from {schema}.pg_queue_waiters as w where w.queue = 'log:' || pg_queue_drop_log.name;
    return true;
end
$$;
