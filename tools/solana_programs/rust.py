"""Writes a program's `generated.rs`: layouts, decoding of arguments, checks of accounts, dispatch, events, errors."""

from __future__ import annotations

from collections.abc import Iterator

from .declaration import (
    FIRST_OWN,
    PRIMITIVES,
    AccountUse,
    Declaration,
    Field,
    Instruction,
    Shape,
    constant_name,
    discriminator,
    element_type,
    seed_type,
    sized,
)

_RUST = {"u128": "U128", "pubkey": "Key"}
_FIXED = {
    "system": "interface::key::SYSTEM_PROGRAM",
    "token": "interface::key::TOKEN_PROGRAM",
    "instructions": "interface::key::INSTRUCTIONS_SYSVAR",
}


def generate(program: Declaration) -> str:
    """The whole file, formatted as `rustfmt` need not be asked to."""
    lines = [
        "// Made from program.toml by `make programs`; do not edit.",
        "#![allow(dead_code, unused_variables, unused_imports, unused_mut, clippy::all)]",
        "use interface::*;",
        "",
    ]
    for name, value in program.constants.items():
        lines.append(f"pub const {name}: u64 = {value};")
    lines += ["", *_errors(program), ""]
    for name, variants in program.enums.items():
        lines += _enum(name, variants)
    for shape in program.types.values():
        lines += _struct(shape)
    for shape in program.records.values():
        lines += _record(shape)
    for shape in program.events.values():
        lines += _event(shape)
    for other in sorted({name.split(".")[0] for name in program.foreign} | set(program.calls)):
        lines += _foreign(program, other)
    for instruction in program.instructions:
        lines += _instruction(program, instruction)
    lines += _dispatch(program)
    return "\n".join(lines) + "\n"


def camel(name: str) -> str:
    """`snake_case` as `SnakeCase`."""
    return "".join(part.capitalize() for part in name.split("_"))


def _errors(program: Declaration) -> Iterator[str]:
    yield "pub mod errors {"
    yield "    use interface::Error;"
    for index, (name, message) in enumerate(program.errors):
        yield f"    /// {message}."
        yield f"    pub const {constant_name(name)}: Error = Error({FIRST_OWN + index});"
    yield "}"


def _enum(name: str, variants: tuple[str, ...]) -> Iterator[str]:
    yield "#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]"
    yield "#[repr(transparent)]"
    yield f"pub struct {name}(pub u8);"
    yield f"impl {name} {{"
    for index, variant in enumerate(variants):
        yield f"    pub const {constant_name(variant)}: Self = Self({index});"
    yield "}"
    yield ""


def _rust_type(type_: str) -> str:
    if sized(type_) is not None:
        return "&'a [u8]"
    element, count = element_type(type_)
    name = _RUST.get(element, element)
    return name if count is None else f"[{name}; {count}]"


def _fields(fields: tuple[Field, ...]) -> Iterator[str]:
    for field in fields:
        yield f"    pub {field.name}: {_rust_type(field.type)},"


def _struct(shape: Shape) -> Iterator[str]:
    if shape.about:
        yield f"/// {shape.about}"
    yield "#[derive(Clone, Copy, PartialEq, Eq, Debug)]"
    yield "#[repr(C)]"
    yield f"pub struct {shape.name} {{"
    yield from _fields(shape.fields)
    yield "}"
    yield f"const _: () = assert!(core::mem::size_of::<{shape.name}>() == {shape.size});"
    yield ""


def _record(shape: Shape) -> Iterator[str]:
    if shape.about:
        yield f"/// {shape.about}"
    yield "#[derive(Clone, Copy)]"
    yield "#[repr(C)]"
    yield f"pub struct {shape.name} {{"
    yield "    discriminator: u64,"
    yield from _fields(shape.fields)
    yield "}"
    yield f"const _: () = assert!(core::mem::size_of::<{shape.name}>() == {shape.size + 8});"
    yield f"const _: () = assert!(core::mem::align_of::<{shape.name}>() <= 8);"
    number = int.from_bytes(discriminator("account", shape.name), "little")
    yield f"unsafe impl Layout for {shape.name} {{"
    yield f"    const DISCRIMINATOR: u64 = {number:#x};"
    yield "}"
    yield ""


def _event(shape: Shape) -> Iterator[str]:
    if shape.about:
        yield f"/// {shape.about}"
    yield "#[repr(C)]"
    yield f"pub struct {shape.name} {{"
    yield from _fields(shape.fields)
    yield "}"
    yield f"impl {shape.name} {{"
    yield "    /// Log the event."
    yield "    #[inline(always)]"
    yield "    pub fn emit(self) {"
    yield "        #[repr(C)]"
    yield f"        struct Event(u64, {shape.name});"
    number = int.from_bytes(discriminator("event", shape.name), "little")
    yield f"        let event = Event({number:#x}, self);"
    yield "        let bytes = &event as *const Event as *const u8;"
    yield f"        interface::emit(unsafe {{ core::slice::from_raw_parts(bytes, {shape.size + 8}) }});"
    yield "    }"
    yield "}"
    yield ""


def _foreign(program: Declaration, other: str) -> Iterator[str]:
    yield f"/// What this program reads and calls of {other}."
    yield f"pub mod {other} {{"
    yield "    use interface::*;"
    for name, variants in program.foreign_enums.items():
        if name.startswith(f"{other}."):
            yield from _enum(name.split(".")[1], variants)
    for name, shape in program.foreign_types.items():
        if name.startswith(f"{other}."):
            yield from _struct(shape)
    for name, shape in program.foreign.items():
        if name.startswith(f"{other}."):
            yield from _record(shape)
    if other in program.calls:
        yield "/// Discriminators of its instructions that this program calls."
        yield "pub mod calls {"
        for name in program.calls[other]:
            yield f"    pub const {name.upper()}: [u8; 8] = {list(discriminator('global', name))};"
        yield "}"
    yield "}"
    yield ""


def _decode(program: Declaration, type_: str) -> str:
    if (text := sized(type_)) is not None:
        return f"reader.{text[0]}({text[1]})?"
    element, count = element_type(type_)
    if count is not None:
        if element == "u8":
            return "reader.array()?"
        single = _decode(program, element)
        fill = f"for each in all.iter_mut() {{ *each = {single}; }}"
        return f"{{ let mut all = [{_zero(element)}; {count}]; {fill} all }}"
    if element in program.enums:
        return f"{element}(reader.variant({len(program.enums[element])})?)"
    if element in program.types:
        fields = ", ".join(f"{field.name}: {_decode(program, field.type)}" for field in program.types[element].fields)
        return f"{element} {{ {fields} }}"
    assert element in PRIMITIVES, element
    return f"reader.{element}()?"


def _zero(element: str) -> str:
    return "Key::ZERO" if element == "pubkey" else "0"


def _wrapper(use: AccountUse) -> str:
    match use.kind:
        case "signer":
            return "Signer<'a>"
        case "wallet":
            return "Signer<'a>" if use.signer else "Wallet<'a>"
        case "unchecked" | "program" | "program_data":
            return "Unchecked<'a>"
        case "system" | "token" | "instructions":
            return "Fixed<'a>"
        case "Mint" | "TokenAccount":
            return f"{use.kind}<'a>"
        case _:
            path = use.kind.replace(".", "::")
            return f"RecordMut<'a, {path}>" if use.writable else f"Record<'a, {path}>"


def _load(use: AccountUse) -> str | None:
    """The expression that makes the wrapper, or None for what is made later."""
    writable = str(use.writable).lower()
    match use.kind:
        case _ if use.init:
            return None
        case "signer":
            return f"Signer::new({use.name}, {writable})?"
        case "wallet":
            return f"{'Signer' if use.signer else 'Wallet'}::new({use.name}, {writable})?"
        case "unchecked" | "program" | "program_data":
            return f"Unchecked::new({use.name})"
        case "system" | "token" | "instructions":
            return f"Fixed::new({use.name}, &{_FIXED[use.kind]})?"
        case "Mint" | "TokenAccount":
            return f"{use.kind}::new({use.name}, {writable})?"
        case _:
            owner = f"&{_value(use.options['from'])}" if "." in use.kind else "input.program"
            layout = use.kind.replace(".", "::")
            return f"{'RecordMut' if use.writable else 'Record'}::<{layout}>::new({use.name}, {owner})?"


def _value(expression: str) -> str:
    """`account` as its key, `account.field` as the field."""
    return expression if "." in expression else f"*{expression}.key()"


def _seed(program: Declaration, instruction: Instruction, seed: str) -> str:
    if seed.startswith("'"):
        return f'Seed::new(b"{seed[1:-1]}")'
    value = f"arguments.{seed[1:]}" if seed.startswith("#") else seed
    match seed_type(program, instruction, seed):
        case "pubkey" if "." in value:
            return f"Seed::new({value}.bytes())"
        case "pubkey":
            return f"Seed::new({value}.key().bytes())"
        case _:
            return f"Seed::new(&{value}.to_le_bytes())"


def _instruction(program: Declaration, instruction: Instruction) -> Iterator[str]:
    name, title = instruction.name, camel(instruction.name)
    arguments = {field.name: field.type for field in instruction.arguments}
    borrowed = "<'a>" if any(sized(field.type) for field in instruction.arguments) else ""
    yield f"/// {instruction.about}"
    yield f"pub struct {title}Accounts<'a> {{"
    for use in instruction.accounts:
        yield f"    pub {use.name}: {_wrapper(use)},"
        if use.init:
            yield f"    pub {use.name}_bump: u8,"
    yield "}"
    if instruction.rest:
        yield f"impl {title}Accounts<'_> {{"
        yield "    /// Accounts before those that may follow."
        yield f"    pub const COUNT: usize = {len(instruction.accounts)};"
        yield "}"
    if arguments:
        yield f"pub struct {title}Arguments{borrowed} {{"
        yield from _fields(instruction.arguments)
        yield "}"
    yield "#[inline(never)]"
    yield f"fn {name}<'a>(input: &Input<'a>, data: &'a [u8]) -> Result {{"
    taken = "leading" if instruction.rest else "accounts"
    repeats = sum(1 << index for index, use in enumerate(instruction.accounts) if use.repeatable)
    names = ", ".join(use.name for use in instruction.accounts)
    yield f"    let [{names}] = input.{taken}::<{len(instruction.accounts)}>({repeats:#x})?;"
    yield "    let mut reader = Reader::new(data);"
    if arguments:
        yield f"    let arguments = {title}Arguments {{"
        for field in instruction.arguments:
            yield f"        {field.name}: {_decode(program, field.type)},"
        yield "    };"
    yield "    reader.end()?;"
    for use in instruction.accounts:
        load = _load(use)
        if load is not None:
            yield f"    let {use.name} = {load};"
    for use in instruction.accounts:
        if use.init:
            continue
        if use.signer and use.kind not in ("signer", "wallet"):
            yield f"    require!({use.name}.account().is_signer(), Error::NOT_SIGNER);"
        for option, getter, error in (
            ("address", "key", "WRONG_ADDRESS"), ("mint", "mint", "WRONG_MINT"), ("holder", "holder", "WRONG_HOLDER"),
        ):  # fmt: skip
            if option in use.options:
                yield f"    require!(*{use.name}.{getter}() == {_value(use.options[option])}, Error::{error});"
        if use.kind == "program_data":
            owner = next(each.name for each in instruction.accounts if each.kind == "signer")
            this = next(each.name for each in instruction.accounts if each.kind == "program")
            yield (
                f"    interface::upgrade::require_authority(&{owner}, {this}.account(), {use.name}.account(), "
                "input.program)?;"
            )
    for use in instruction.accounts:
        if use.init:
            seeds = ", ".join(_seed(program, instruction, seed) for seed in use.seeds)
            payer = use.options["payer"]
            if use.kind == "TokenAccount":
                yield (
                    f"    let ({use.name}, {use.name}_bump) = TokenAccount::create({use.name}, &{payer}, "
                    f"input.program, &{use.options['mint']}, {use.options['holder']}.key(), &[{seeds}])?;"
                )
            else:
                yield (
                    f"    let ({use.name}, {use.name}_bump) = RecordMut::<{use.kind}>::create({use.name}, &{payer}, "
                    f"input.program, &[{seeds}])?;"
                )
    members = ", ".join(
        each for use in instruction.accounts for each in ((use.name, f"{use.name}_bump") if use.init else (use.name,))
    )
    yield f"    let mut accounts = {title}Accounts {{ {members} }};"
    passed = ", &arguments" if arguments else ""
    yield f"    crate::{name}(&mut accounts{passed}, input)"
    yield "}"
    yield ""


def _dispatch(program: Declaration) -> Iterator[str]:
    yield "/// Run the instruction that the data names."
    yield "#[inline(always)]"
    yield "pub fn dispatch(input: &Input) -> Result {"
    yield "    let (instruction, data) = input.instruction()?;"
    yield "    match instruction {"
    for instruction in program.instructions:
        number = int.from_bytes(discriminator("global", instruction.name), "little")
        yield f"        {number:#x} => {instruction.name}(input, data),"
    yield "        _ => Err(Error::UNKNOWN_INSTRUCTION),"
    yield "    }"
    yield "}"
