-- How a job's prices are split is agreed when it is submitted: a vote on the shares is for jobs to come, as on a chain. Jobs
-- that are there already keep what holds today.
alter table job add column treasury_bps smallint not null default 1000, add column incentive_bps smallint not null default 400,
    add column stakers_bps smallint not null default 100;

update job j set treasury_bps = coalesce(g.parameters->'market.treasury_bps', '1000')::smallint,
    incentive_bps = coalesce(g.parameters->'market.incentive_bps', '400')::smallint,
    stakers_bps = coalesce(g.parameters->'market.stakers_bps', '100')::smallint
from governance g where j.ended_at is null
    and g.parameters ?| array['market.treasury_bps', 'market.incentive_bps', 'market.stakers_bps'];

-- From now on whoever submits says by which.
alter table job alter column treasury_bps drop default, alter column incentive_bps drop default,
    alter column stakers_bps drop default,
    add constraint operator_is_left_most check (treasury_bps >= 0 and incentive_bps >= 0 and stakers_bps >= 0
        and treasury_bps + incentive_bps + stakers_bps <= 2000);
