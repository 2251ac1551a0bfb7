-- Stakes that may be drawn: large enough, not under report, and as heavy since before a height.
select id, owner from stake
where state = 'active' and amount >= $1 and reports = 0 and weight_height < $2
