"""Completion scripts for shells. They know all options and their choices; other words are completed as file names."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .command_lines import programs

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .command_lines import CommandLine, Option, Program


def script(shell: str) -> str:
    """The script for `bash`, `zsh` or `fish`."""
    return {"bash": _bash, "zsh": _zsh, "fish": _fish}[shell]()


def _flags(line: CommandLine) -> str:
    return " ".join(flag for option in line.options for flag in option.flags)


def _quoted(text: str) -> str:
    """The text as one word of bash and zsh."""
    return "'" + text.replace("'", "'\\''") + "'"


# --- bash

_BASH = """\
# Completion of wf-transfer and wf-checksum for bash: eval "$(wf-transfer completion bash)"
_wf_complete() {{
    local line=$1 word=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD - 1]}} known= at
    COMPREPLY=()
    # Readline takes --option=value for three words.
    if [[ $word == '=' ]]; then
        word=
    elif [[ $before == '=' ]]; then
        before=${{COMP_WORDS[COMP_CWORD - 2]}}
    fi
    for ((at = 1; at < COMP_CWORD; at++)); do
        [[ ${{COMP_WORDS[at]}} == -- ]] && return
    done
    if ((COMP_CWORD > 1)); then
        case "$line ${{COMP_WORDS[1]}}" in
            {commands}) line="$line ${{COMP_WORDS[1]}}" ;;
        esac
    fi
    case "$1 $before" in
{values}
        *)
            case $word in
                -*)
                    case $line in
{flags}
                    esac
                    ;;
                *)
                    case $line in
{words}
                    esac
                    ;;
            esac
            ;;
    esac
    # Nothing known: the shell completes file names.
    [[ -n $known ]] && COMPREPLY=($(compgen -W "$known" -- "$word"))
}}
_wf_transfer() {{
    _wf_complete wf-transfer
}}
_wf_checksum() {{
    _wf_complete wf-checksum
}}
complete -o default -F _wf_transfer wf-transfer
complete -o default -F _wf_checksum wf-checksum
"""


def _bash() -> str:
    found = programs()
    lines = [line for program in found for line in program.lines]
    return _BASH.format(
        commands=" | ".join(_quoted(line.name) for program in found for line in program.commands.values()),
        values="\n".join(line for program in found for line in _bash_values(program)),
        flags="\n".join(_bash_case(line.name, _flags(line)) for line in lines),
        words="\n".join(
            [
                *(_bash_first_words(program) for program in found),
                *(_bash_case(line.name, " ".join(line.choices)) for line in lines if line.choices),
            ]
        ),
    )


def _bash_values(program: Program) -> Iterator[str]:
    """What comes behind options that take a value, in whichever command of a program they are."""
    flags: dict[str, dict[str, None]] = {}
    for option in _options(program):
        if option.value:
            flags.setdefault(" ".join(option.choices), {}).update(dict.fromkeys(option.flags))
    for known in sorted(flags, reverse=True):
        action = f"known={_quoted(known)} " if known else ""
        yield f"        {' | '.join(_quoted(f'{program.name} {flag}') for flag in flags[known])}) {action};;"


def _options(program: Program) -> Iterator[Option]:
    return (option for line in program.lines for option in line.options)


def _bash_case(name: str, known: str) -> str:
    return f"{' ' * 24}{_quoted(name)}) known={_quoted(known)} ;;"


def _bash_first_words(program: Program) -> str:
    words = _quoted(" ".join(program.commands))
    return f"{' ' * 24}{_quoted(program.name)}) ((COMP_CWORD == 1)) && known={words} ;;"


# --- zsh

_ZSH = """\
#compdef wf-transfer wf-checksum
# Completion of wf-transfer and wf-checksum for zsh: source <(wf-transfer completion zsh), after compinit
_wf_complete() {{
    local line=$service
    if (( CURRENT > 2 )); then
        case "$line $words[2]" in
            {commands})
                line="$line $words[2]"
                shift words
                (( CURRENT-- ))
                ;;
        esac
    fi
    case $line in
{cases}
    esac
}}
if [[ $zsh_eval_context[-1] == loadautofunc ]]; then
    _wf_complete "$@"
else
    compdef _wf_complete wf-transfer wf-checksum
fi
"""


def _zsh() -> str:
    found = programs()
    return _ZSH.format(
        commands="|".join(_quoted(line.name) for program in found for line in program.commands.values()),
        cases="\n".join(_zsh_case(program, line) for program in found for line in program.lines),
    )


def _zsh_case(program: Program, line: CommandLine) -> str:
    specifications = [each for option in line.options for each in _zsh_option(option)]
    if line is program.main:
        specifications.append(
            f"1: :_alternative 'commands:command:({' '.join(program.commands)})' 'files:file:_files'"
        )
    if line.choices:
        specifications.append(f"1:choice:({' '.join(line.choices)})")
    elif line.words:
        specifications.append("*:file:_files")
    indent = " " * 12
    arguments = "".join(f" \\\n{indent}    {_quoted(each)}" for each in specifications)
    return f"        {_quoted(line.name)})\n{indent}_arguments -s -S :{arguments}\n{indent};;"


def _zsh_option(option: Option) -> Iterator[str]:
    only_once = "*" if option.repeated else f"({' '.join(option.flags)})" if len(option.flags) > 1 else ""
    text = "".join(f"\\{letter}" if letter in "\\[]:" else letter for letter in option.help)
    value = ""
    if option.value:
        action = f"({' '.join(option.choices)})" if option.choices else "_files" if option.is_file else " "
        value = f":{option.value.replace(':', chr(92) + ':')}:{action}"
    for flag in option.flags:
        joint = "" if not option.value else "=" if flag.startswith("--") else "+"
        yield f"{only_once}{flag}{joint}[{text}]{value}"


# --- fish

_FISH = """\
# Completion of wf-transfer and wf-checksum for fish: wf-transfer completion fish | source
function __wf_is -a wanted
    set -l given (commandline -opc)
    set -l word ''
    if test (count $given) -gt 1; and contains -- $given[2] $argv[2..]
        set word $given[2]
    end
    test "$word" = "$wanted"
end
function __wf_begins
    test (count (commandline -opc)) -eq 1
end
{lines}
"""


def _fish() -> str:
    return _FISH.format(lines="\n".join(line for program in programs() for line in _fish_lines(program)))


def _fish_lines(program: Program) -> Iterator[str]:
    begin = f"complete -c {program.name}"
    for word, text in program.sentences.items():
        yield f"{begin} -n __wf_begins -a {word} -d {_fish_quoted(text)}"
    for word, line in {"": program.main, **program.commands}.items():
        is_it = _fish_quoted(f"__wf_is {_fish_quoted(word)} {' '.join(program.commands)}")
        if line.choices:
            yield f"{begin} -n {is_it} -x -a {_fish_quoted(' '.join(line.choices))}"
        for option in line.options:
            yield _fish_option(f"{begin} -n {is_it}", option)


def _fish_option(begin: str, option: Option) -> str:
    flags = [f"-l {flag[2:]}" if flag.startswith("--") else f"-s {flag[1:]}" for flag in option.flags]
    value = ""
    if option.choices:
        value = f" -x -a {_fish_quoted(' '.join(option.choices))}"
    elif option.value:
        value = " -r -F" if option.is_file else " -x"
    return f"{begin} {' '.join(flags)}{value} -d {_fish_quoted(option.help)}"


def _fish_quoted(text: str) -> str:
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"
