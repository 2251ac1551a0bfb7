"""Every record, event, type and instruction of each program, typed: one module a program, made by `make programs` from
its declaration, beside its IDL.

Instructions are functions of their arguments; `Network.send` takes what they make. Records are structs, which
`Network.record` reads. Amounts are µHYPER, times Unix seconds of the chain's clock, keys base58 where they are read.
"""
