import { quoted } from '../shell-word.ts';
import type { CommandWords, OptionWords } from './command-words.ts';

/** The script for zsh: `source <(heki completion zsh)`, or as the file `_heki` in a folder of $fpath. */
export function zshCompletion(commands: readonly CommandWords[], options: readonly OptionWords[]): string {
  const cases = commands.map(({ name, options: own, values }) => {
    const rest = values === 'file' ? '*:file:_files' : `*:word:(${values.join(' ')})`;
    return `    ${name}) _arguments -s ${[...own.flatMap(specs), quoted(rest)].join(' \\\n      ')} ;;`;
  });
  return `#compdef heki
# Completion of heki for zsh: source <(heki completion zsh)
_heki() {
  local -a commands=(
${commands.map(({ name, meaning }) => `    ${quoted(`${name}:${meaning.replaceAll(':', '\\:')}`)}`).join('\n')}
  )
  if (( CURRENT == 2 )); then
    if [[ $words[2] == -* ]]; then
      _arguments ${options.flatMap(specs).join(' ')}
    else
      _describe command commands
    fi
    return
  fi
  shift words
  (( CURRENT-- ))
  case $words[1] in
${cases.join('\n')}
  esac
}
if [[ $funcstack[1] == _heki ]]; then _heki "$@"; else compdef _heki heki ./heki; fi
`;
}

/** One specification of _arguments for each flag. */
function specs({ flags, meaning, value }: OptionWords): string[] {
  const text = meaning.replaceAll(/[[\]:]/g, (character) => `\\${character}`);
  const action =
    typeof value === 'string'
      ? { none: '', file: ':file:_files', word: ':value: ' }[value]
      : `:value:(${value.join(' ')})`;
  return flags.map((flag) => quoted(`${flag}[${text}]${action}`));
}
