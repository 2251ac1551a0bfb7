"""The linker, the front end and the declarations: what they make, and above all what they refuse."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path

import llvmlite.binding as llvm
import pytest
from solana_programs import build, idl
from solana_programs.declaration import COMMON_ERRORS, FIRST_COMMON, DeclarationError, constant_name, load
from solana_programs.frontend import main as frontend
from solana_programs.frontend import memory_syscalls
from solana_programs.linker import link, syscall_hash
from solana_programs.objects import LinkError
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import Message
from solders.transaction import Transaction
from solders.transaction_metadata import FailedTransactionMetadata

LOG = """
@text = private unnamed_addr constant [5 x i8] c"hello"
declare void @sol_log_(ptr, i64)
define i64 @helper(i64 %x) noinline { call void @sol_log_(ptr @text, i64 %x) ret i64 0 }
define i64 @entrypoint(ptr %input) { %r = call i64 @helper(i64 5) ret i64 %r }
"""


def compiled(path: Path, assembly: str, cpu: str = "v2", name: str = "code.o") -> Path:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    module = llvm.parse_assembly(assembly)
    machine = llvm.Target.from_triple("bpfel").create_target_machine(cpu=cpu, opt=2)
    (path / name).write_bytes(machine.emit_object(module))
    return path / name


@pytest.mark.parametrize("version", ["v0", "v3"])
def test_an_image_runs(tmp_path, version):
    svm, payer, program = LiteSVM(), Keypair(), Keypair().pubkey()
    svm.airdrop(payer.pubkey(), 10**9)
    svm.add_program(program, link([compiled(tmp_path, LOG)], version))
    message = Message([Instruction(program, b"", [])], payer.pubkey())
    result = svm.send_transaction(Transaction([payer], message, svm.latest_blockhash()))
    assert not isinstance(result, FailedTransactionMetadata)
    assert "Program log: hello" in result.logs()


def test_the_same_objects_make_the_same_image(tmp_path):
    code = compiled(tmp_path, LOG)
    for version in ("v0", "v3"):
        assert link([code], version) == link([code], version)


@pytest.mark.parametrize(
    ("assembly", "cpu", "says"),
    [
        (LOG.replace("sol_log_", "sol_lgo_"), "v2", "calls sol_lgo_, which nothing defines"),
        (LOG.replace("@entrypoint", "@start"), "v2", "nothing defines entrypoint"),
        ("@state = global i64 7\n" + LOG, "v2", "no mutable globals"),
        (
            "@far = external global i64\ndefine ptr @entrypoint(ptr %x) { ret ptr @far }", "v2",
            "refers to far, which nothing defines",
        ),
        (
            "define i64 @entrypoint(ptr %p) "
            "{ %a = load i32, ptr %p %b = mul i32 %a, %a %c = zext i32 %b to i64 ret i64 %c }",
            "v3", "32-bit arithmetic",
        ),
        (
            "define i64 @entrypoint(ptr %p) { %a = load i64, ptr %p %b = sdiv i64 %a, 7 ret i64 %b }", "v4",
            "compile for cpu v2",
        ),
    ],
)  # fmt: skip
def test_what_no_program_may_hold_is_refused(tmp_path, assembly, cpu, says):
    code = compiled(tmp_path, assembly, cpu)
    for version in ("v0", "v3"):
        with pytest.raises(LinkError, match=re.escape(says)):
            link([code], version)


def test_what_is_not_an_object_is_refused(tmp_path):
    bitcode = tmp_path / "code.o"
    bitcode.write_bytes(llvm.parse_assembly(LOG).as_bitcode())
    with pytest.raises(LinkError, match="bitcode"):
        link([bitcode], "v3")
    foreign = bytearray(compiled(tmp_path, LOG, name="other.o").read_bytes())
    foreign[18] = 62  # x86-64
    (tmp_path / "other.o").write_bytes(foreign)
    with pytest.raises(LinkError, match="machine 62"):
        link([tmp_path / "other.o"], "v3")


def test_a_symbol_defined_twice_is_refused(tmp_path):
    with pytest.raises(LinkError, match="defined twice"):
        link([compiled(tmp_path, LOG), compiled(tmp_path, LOG, name="again.o")], "v3")


def test_what_is_not_reached_is_left_out(tmp_path):
    unused = '@unused = constant [9000 x i8] zeroinitializer, section ".rodata.unused"\n'
    more = LOG + unused + 'define ptr @never() section ".text.never" { ret ptr @unused }'
    plain, with_more = (link([compiled(tmp_path, code)], "v3") for code in (LOG, more))
    assert len(with_more) < len(plain) + 200


def test_syscalls_are_named_by_their_hash():
    # From the test vectors of sbpf's own syscall registry.
    assert syscall_hash("abort") == 0xB6FC1A11
    assert syscall_hash("sol_log_") == 0x207559BD


def test_long_copies_become_syscalls_and_short_ones_stay():
    assembly = memory_syscalls(
        "call void @llvm.memcpy.p0.p0.i64(ptr noundef nonnull align 8 %a, ptr align 8 %b, i64 %n, i1 false)\n"
        "call void @llvm.memset.p0.i64(ptr align 1 %a, i8 0, i64 4096, i1 false)\n"
        "call void @llvm.memcpy.p0.p0.i64(ptr %a, ptr %b, i64 32, i1 false)\n"
    )
    assert "call void @sol_memcpy_(ptr %a, ptr %b, i64 %n)" in assembly
    assert "call void @sol_memset_(ptr %a, i8 0, i64 4096)" in assembly
    assert "@llvm.memcpy.p0.p0.i64(ptr %a, ptr %b, i64 32, i1 false)" in assembly
    assert assembly.count("declare") == 2


def test_the_front_end_takes_one_module(tmp_path):
    (tmp_path / "a.o").write_bytes(llvm.parse_assembly(LOG).as_bitcode())
    frontend([str(tmp_path / "a.o"), "-o", str(tmp_path / "out.so")])
    assert link([tmp_path / "out.so"], "v3")
    with pytest.raises(LinkError, match="2 modules"):
        frontend([str(tmp_path / "a.o"), str(tmp_path / "a.o"), "-o", str(tmp_path / "out.so")])
    (tmp_path / "a.o").write_bytes(b"BC\xc0\xderubbish")
    with pytest.raises(LinkError, match="LLVM refuses"):
        frontend([str(tmp_path / "a.o"), "-o", str(tmp_path / "out.so")])


# --- declarations ---------------------------------------------------------------------------------------------------
def declared(path: Path, accounts: str, record: str = 'owner = "pubkey"\nbump = "u8"') -> None:
    folder = path / "sample"
    folder.mkdir()
    (folder / "program.toml").write_text(
        'about = "A sample"\n[records.Thing.fields]\n' + record + '\n[instructions.do]\nabout = "Does it"\n'
        "[instructions.do.arguments]\nid = \"u64\"\n[instructions.do.accounts]\n" + textwrap.dedent(accounts)
    )  # fmt: skip
    load(path, "sample")


@pytest.mark.parametrize(
    ("accounts", "says"),
    [
        ('to = "wallet writable"', "nothing ties this address"),
        ('to = "TokenAccount writable"', "say of which mint"),
        ('thing = "Nothing"', "no kind Nothing"),
        ('any = "unchecked"', "say why"),
        ('thing = "Thing init payer=x"', "needs seeds and a payer"),
        ("thing = \"Thing init seeds=['thing']\"", "needs seeds and a payer"),
        ('thing = "Thing writeable"', "unknown words"),
        ('Thing = "Thing"', "not a name for an account"),
    ],
)
def test_an_account_that_would_go_unchecked_is_refused(tmp_path, accounts, says):
    with pytest.raises(DeclarationError, match=says):
        declared(tmp_path, accounts)


def test_a_record_with_a_hole_is_refused(tmp_path):
    with pytest.raises(DeclarationError, match="hole"):
        declared(tmp_path, 'thing = "Thing"', 'bump = "u8"\nowner = "pubkey"')


def test_a_type_that_is_none_is_refused(tmp_path):
    with pytest.raises(DeclarationError, match="no type f64"):
        declared(tmp_path, 'thing = "Thing"', 'share = "f64"')


def test_what_is_made_from_the_declarations_is_current():
    assert build.differing(build.declared()) == [], "run make programs"


def test_common_errors_are_those_of_the_interface():
    source = (build.PROGRAMS / "interface" / "src" / "error.rs").read_text()
    written = [(int(code), name) for name, code in re.findall(r"pub const (\w+): Self = Self\((\d+)\);", source)]
    assert written == [(FIRST_COMMON + index, constant_name(name)) for index, (name, _) in enumerate(COMMON_ERRORS)]


def test_what_governance_sets_fits_into_a_payload():
    """A parameter that no proposal can hold could never be changed."""
    widths = {"u8": 1, "bool": 1, "u16": 2, "u32": 4, "u64": 8, "i64": 8, "u128": 16, "pubkey": 32}
    for name in build.names():
        raw = idl.generate(load(build.PROGRAMS, name))
        types = {each["name"]: each["type"] for each in raw["types"]}

        def width(type_: object, types: dict[str, dict[str, object]] = types) -> int:
            match type_:
                case str():
                    return widths[type_]
                case {"array": [inner, count]}:
                    return width(inner) * count
                case {"defined": {"name": other}}:
                    fields = types[other].get("fields", [])
                    assert isinstance(fields, list)
                    return sum(width(field["type"]) for field in fields) or 1
            raise TypeError(type_)

        for instruction in raw["instructions"]:
            if instruction["name"].startswith("set_"):
                assert 8 + sum(width(each["type"]) for each in instruction["args"]) <= 256
