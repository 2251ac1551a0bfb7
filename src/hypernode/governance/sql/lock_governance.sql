-- Every act of governance begins here, so that there is one at a time.
select height, head, at, staked, weight, accumulator, held, distributed, paid, bonded, parameters from governance for update
