select cycle, at, amount, burned, stakers, operations from unlock order by cycle
