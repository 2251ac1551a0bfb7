-- Stakes that may be drawn: large enough, and as heavy since before a height. Also those under report: else whoever
-- wants a panel of friends would report all others.
select id, owner from stake
where state = 'active' and amount >= $1 and weight_height < $2
