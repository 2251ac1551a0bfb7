-- Stakes that may be drawn: large enough, and as heavy since before a height. One that is under report itself as well:
-- else whoever reports all others, a bond each, would have the panels to themselves.
select id, owner from stake
where state = 'active' and amount >= $1 and weight_height < $2
