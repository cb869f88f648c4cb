"""``probe-pairs``: check, draft, convert, count and compare gold files."""

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from probe.cli.run import new_console, run, with_version

if TYPE_CHECKING:
    from probe.gold.pairs import GoldFile
    from probe.gold.rows import GoldRow
    from probe.models.tokenizer import Tokenizer


FORMATS = ("pharaoh", "naacl", "simalign", "align-jsonl")
"""A copy of the names in probe.exchange.conversion: importing that module would make --help slow."""

DIRECTORY = "PROBE_TOKENIZERS"

EXAMPLES = """examples:
  probe-pairs check alignments/gold.tsv
  probe-pairs new sentences.txt --student models/gpt2 --teacher models/qwen
  probe-pairs convert alignments/gold.tsv --to pharaoh --out gold.pharaoh
  probe-pairs convert gold.pharaoh --from pharaoh --rows alignments/gold.tsv
  probe-pairs stats alignments/gold.tsv
  probe-pairs agree alignments/gold.tsv second-reader.tsv --list
"""


NEW = r"""Make a gold file from sentences, one on each line (\n for a line break within a
sentence). Links are proposed by the half rule; tags are those that a program can set.
"""
NEW_EXAMPLES = r"""examples:
  probe-pairs new sentences.txt --student models/gpt2 --teacher models/qwen
  echo "The cat sat." | probe-pairs new --out draft.tsv \
    --student bundled:demo/student --teacher bundled:demo/teacher
"""


def parser() -> ArgumentParser:
    """What ``probe-pairs`` takes."""
    parser = ArgumentParser(
        "probe-pairs",
        description="Check, draft, convert, count and compare gold files of annotated token pairs.",
        epilog=EXAMPLES,
        formatter_class=RawDescriptionHelpFormatter,
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _add_check(commands.add_parser("check", help="check every rule of the guidelines that a program can check"))
    _add_new(commands.add_parser("new", help="make a gold file with proposed links from sentences"))
    _add_convert(
        commands.add_parser("convert", help="convert to and from Pharaoh, NAACL 2003, simalign and align.jsonl")
    )
    _add_stats(commands.add_parser("stats", help="count rows, tokens and links by pair and by phenomenon"))
    _add_agree(commands.add_parser("agree", help="measure how well two annotations of the same rows agree"))
    return with_version(parser)


def main(argv: Sequence[str] | None = None) -> int:
    """Entry point."""
    bodies = {"check": _check, "new": _new, "convert": _convert, "stats": _stats, "agree": _agree}
    return run(parser(), lambda arguments: bodies[arguments.command](arguments), argv)


def _add_check(parser: ArgumentParser) -> None:
    parser.description = f"""Check the rows of a gold file. To compare the tokens with those of the tokenizers, set
        {DIRECTORY} to a directory with one subdirectory for each tokenizer, named as in the file. The exit code is 1
        if a rule is broken or the file has no rows."""
    parser.add_argument("file", type=Path, metavar="FILE", help="gold file (.tsv)")
    parser.add_argument(
        "--student", metavar="MODEL", help="compare the student tokens with those of this model's tokenizer"
    )
    parser.add_argument("--teacher", metavar="MODEL", help="the same for the teacher")


def _add_new(parser: ArgumentParser) -> None:
    parser.description, parser.epilog, parser.formatter_class = NEW, NEW_EXAMPLES, RawDescriptionHelpFormatter
    parser.add_argument(
        "file", type=Path, metavar="FILE", nargs="?", help="sentences, one on each line; default: standard input"
    )
    parser.add_argument("--student", metavar="MODEL", required=True, help="directory or hub id with a tokenizer.json")
    parser.add_argument("--teacher", metavar="MODEL", required=True, help="the same for the teacher")
    parser.add_argument(
        "--pair", metavar="NAME~NAME", help="names of both tokenizers; default: the last parts of the two MODELs"
    )
    parser.add_argument("--prefix", metavar="ID", default="row-", help="first part of the ids; default row-")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write here; default: standard output")
    _add_force(parser)


def _add_force(parser: ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="write over a file that is there")


def _add_convert(parser: ArgumentParser) -> None:
    parser.description = """Convert a gold file to the format of another tool, or back. Formats of links have no tokens:
        --out FILE writes the tokens to FILE.student and FILE.teacher, and --from reads them from there."""
    parser.add_argument(
        "file", type=Path, metavar="FILE", help="gold file for --to, file of the other format for --from"
    )
    way = parser.add_mutually_exclusive_group(required=True)
    way.add_argument("--to", choices=FORMATS, help="format to write")
    way.add_argument("--from", choices=FORMATS, dest="from_", help="format to read")
    parser.add_argument("--out", type=Path, metavar="FILE", help="write here; default: only links, to standard output")
    _add_force(parser)
    parser.add_argument("--rows", type=Path, metavar="FILE", help="with --from: gold file whose links are replaced")
    parser.add_argument("--pair", metavar="NAME~NAME", help="with --from and without --rows: names of both tokenizers")
    parser.add_argument(
        "--prefix", metavar="ID", help="with --from and without --rows: first part of the ids; default row-"
    )
    parser.add_argument(
        "--student", metavar="MODEL", help="with --from and --pair: declare the vocabulary of this model"
    )
    parser.add_argument("--teacher", metavar="MODEL", help="the same for the teacher")
    parser.add_argument(
        "--base",
        type=int,
        choices=(0, 1),
        help="with --from: number of the first token in FILE; default 1 for naacl, 0 for others",
    )
    parser.set_defaults(refuse=parser.error)


def _add_stats(parser: ArgumentParser) -> None:
    parser.add_argument("file", type=Path, metavar="FILE", help="gold file (.tsv)")
    _add_forms(parser)


def _add_agree(parser: ArgumentParser) -> None:
    parser.add_argument("a", type=Path, metavar="A", help="gold file (.tsv)")
    parser.add_argument("b", type=Path, metavar="B", help="gold file with another annotation of the same rows")
    _add_forms(parser).add_argument("--list", action="store_true", help="print every link that differs")


def _add_forms(parser: ArgumentParser):
    forms = parser.add_mutually_exclusive_group()
    forms.add_argument("--json", action="store_true", help="print everything as JSON")
    forms.add_argument("--markdown", action="store_true", help="print the table as Markdown")
    return forms


def _check_usage(arguments: Namespace) -> None:
    """Check that the options of convert fit together."""
    named = [
        name
        for name in ("rows", "pair", "prefix", "student", "teacher", "base")
        if getattr(arguments, name) is not None
    ]
    if arguments.to and named:
        arguments.refuse(f"--{named[0]} can be used only with --from")
    if arguments.rows and (arguments.pair or arguments.prefix is not None):
        arguments.refuse("--rows gives the names: leave out --pair and --prefix")
    if arguments.rows and (arguments.student or arguments.teacher):
        arguments.refuse("--rows declares the vocabularies: leave out --student and --teacher")
    if bool(arguments.student) != bool(arguments.teacher):
        arguments.refuse("--student and --teacher must be given together")
    if arguments.from_ and not arguments.rows and not arguments.pair:
        arguments.refuse("--from needs --rows FILE, or --pair NAME~NAME to make new rows")
    if arguments.from_ == "align-jsonl" and arguments.base is not None:
        arguments.refuse("--base cannot be used with align-jsonl, which has weights and no token numbers")


def _check(arguments: Namespace) -> int:
    import os

    from probe.gold.check import check_pieces, check_rows, declared_name, tokenizer_names, tokenizers_in
    from probe.gold.manifest import check_manifest
    from probe.gold.pairs import scan_pairs

    path: Path = arguments.file
    gold, problems = scan_pairs(path)
    directory = os.environ.get(DIRECTORY)
    tokenizers = tokenizers_in(Path(directory), gold) if directory else {}
    for side in ("student", "teacher"):
        if source := getattr(arguments, side):
            tokenizer = _tokenizer(source)
            tokenizers[declared_name(gold, tokenizer, side, source)] = tokenizer
    problems += check_rows(gold, path.name) + check_pieces(gold, path.name, tokenizers) + tuple(check_manifest(path))
    for problem in problems:
        print(problem)
    if directory or tokenizers:
        others = [name for name in tokenizer_names(gold) if name not in tokenizers]
        print(f"tokenizers checked: {', '.join(sorted(tokenizers)) or 'none'}")
        print(f"tokenizers not checked: {', '.join(others) or 'none'}")
    plural = "" if len(problems) == 1 else "s"
    if not problems and not gold.rows:
        print(f"{path}: no rows")
        return 1
    print(f"{path}: {len(problems)} finding{plural}" if problems else f"{path}: {len(gold.rows)} rows, clean")
    return 1 if problems else 0


def _tokenizer(source: str) -> "Tokenizer":
    from probe.checkpoints.open_model import named_tokenizer

    return named_tokenizer(source)


def _new(arguments: Namespace) -> None:
    from probe.gold.drafts import draft_comments, draft_rows, pair_name, read_sentences
    from probe.gold.rows import check_pair

    _check_out(arguments, ("",))
    sources: tuple[str, str] = arguments.student, arguments.teacher
    pair = pair_name(*sources) if arguments.pair is None else arguments.pair
    check_pair(pair, "--pair")
    where = "stdin" if arguments.file is None else str(arguments.file)
    sentences = read_sentences(_bytes(arguments.file), where)
    student, teacher = map(_tokenizer, sources)
    rows = draft_rows(sentences, where, student, teacher, pair, arguments.prefix)
    comments = draft_comments(pair, (student, sources[0]), (teacher, sources[1]))
    _write_rows(rows, comments, arguments.out)
    if (out := arguments.out) is not None:
        print(f"{out}: {len(rows)} rows. Correct the proposed links, then run: probe-pairs check {out}")


def _check_out(arguments: Namespace, ends: Sequence[str]) -> None:
    """Try the files of --out, by the ends of their names, before work begins; what is there stays without --force."""
    from probe.output.files import check_free, check_place

    out: Path | None = arguments.out
    if out is None:
        return
    for end in ends:
        (check_place if arguments.force else check_free)(out.with_name(out.name + end))


def _bytes(file: Path | None) -> bytes:
    """The bytes of a file, or of standard input; refuse a terminal, where a user would wait without knowing why."""
    from probe.errors import PairsError, Problem
    from probe.output.reading import Wanted, limited, read_bytes

    expected = "sentences, one on each line"
    wanted = Wanted(expected, "Correct the path.", PairsError)
    if file is None:
        if sys.stdin.isatty():
            remedy = "Name a file of sentences: probe-pairs new FILE …, or send some through a pipe."
            raise PairsError(Problem("stdin", expected, "a terminal", remedy))
        return limited(sys.stdin.buffer.read, "stdin", wanted)
    return read_bytes(file.absolute(), wanted)


def _convert(arguments: Namespace) -> None:
    from probe.gold.pairs import read_pairs

    _check_usage(arguments)
    has_tokens = arguments.to and arguments.to != "align-jsonl"
    _check_out(arguments, ("", ".student", ".teacher") if has_tokens else ("",))
    if arguments.to:
        _to(read_pairs(arguments.file), arguments)
        return
    from probe.exchange.conversion import read_onto

    if arguments.rows:
        gold = read_pairs(arguments.rows)
        rows = read_onto(arguments.file, arguments.from_, gold.rows, arguments.base)
        _write_rows(rows, gold.comments, arguments.out)
        return
    gold = _anew(arguments)
    _write_rows(gold.rows, gold.comments, arguments.out)


def _anew(arguments: Namespace) -> "GoldFile":
    """Make a gold file from the file alone, with the vocabularies of the named models."""
    from probe.exchange.conversion import Naming, lost, read_anew

    naming = Naming(arguments.pair, "row-" if arguments.prefix is None else arguments.prefix)
    sources = [source for source in (arguments.student, arguments.teacher) if source]
    models = [(_tokenizer(source), source) for source in sources]
    gold = read_anew(arguments.file, arguments.from_, naming, arguments.base, models)
    for line in lost(gold.rows, bool(models)):
        print(line, file=sys.stderr)
    return gold


def _to(gold: "GoldFile", arguments: Namespace) -> None:
    from probe.exchange.conversion import left_out, written

    files = written(gold.rows, arguments.to)
    _write(files if arguments.out else {"": files[""]}, arguments.out)
    lines = left_out(gold.rows, arguments.to)
    if not arguments.out and len(files) > 1:
        lines.append("With --out FILE, the tokens are written too, to FILE.student and FILE.teacher.")
    print(*lines, sep="\n", file=sys.stderr)


def _write_rows(rows: Sequence["GoldRow"], comments: Sequence[str], out: Path | None) -> None:
    """Write a gold file, without what a table beside it declares; without ``out``, to standard output."""
    from probe.gold.declared import unsaid
    from probe.gold.pairs import format_pairs

    _write({"": format_pairs(rows, unsaid(out, comments) if out else comments)}, out)


def _write(files: dict[str, str], out: Path | None) -> None:
    """Write all files or none, by the end of their names; without ``out``, write the links to standard output."""
    from contextlib import ExitStack

    from probe.output.files import replacing_file

    if out is None:
        sys.stdout.flush()
        sys.stdout.buffer.write(files[""].encode())  # UTF-8 and LF, whatever the terminal is set to
        sys.stdout.buffer.flush()
        return
    with ExitStack() as stack:
        for end, text in files.items():
            stack.enter_context(replacing_file(out.with_name(out.name + end))).write_bytes(text.encode())


def _stats(arguments: Namespace) -> None:
    from probe.gold.counts import READING, pair_stats
    from probe.gold.pairs import read_pairs

    found = pair_stats(read_pairs(arguments.file), str(arguments.file))
    if arguments.json or arguments.markdown:
        print(found.to_json() if arguments.json else found.to_markdown(), end="")
        return
    console = new_console()
    if found.pairs or not found.judged:
        console.print(found.table())
        console.print("\n".join(READING))
    if found.judged:
        console.print(found.judged_line())


def _agree(arguments: Namespace) -> None:
    from probe.gold.agreement import READING, compare
    from probe.gold.judged_agreement import READING as READING_OF_JUDGED
    from probe.gold.judged_agreement import compare_judged
    from probe.gold.pairs import read_pairs

    a, b = read_pairs(arguments.a), read_pairs(arguments.b)
    judged = any(row.judged for row in (*a, *b))
    found = (compare_judged if judged else compare)(a, b, (str(arguments.a), str(arguments.b)))
    if arguments.json or arguments.markdown:
        print(found.to_json() if arguments.json else found.to_markdown(), end="")
    elif arguments.list:
        for d in found.disagreements:
            print(f"{d.id}\t{d.link[0]},{d.link[1]}\t{d.student}\t{d.teacher}\tA {d.a}\tB {d.b}")
    else:
        console = new_console()
        console.print("\n".join(found.heading()), soft_wrap=True)  # do not break paths, so that they can be copied
        console.print(found.table())
        console.print("\n".join(READING_OF_JUDGED if judged else READING))


if __name__ == "__main__":
    sys.exit(main())
