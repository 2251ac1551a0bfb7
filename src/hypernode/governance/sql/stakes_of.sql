-- All stakes of an owner that had weight lately; there are no more than a project may have.
select * from stake where owner = $1 and (weight > 0 or previous_weight > 0) order by weight desc, id
