-- Of those that can be reported: the one with the most in it.
select * from stake where owner = $1 and state <> 'withdrawn' order by amount desc, id limit 1
