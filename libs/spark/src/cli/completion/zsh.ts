import type { Completions, Place, Word } from './completions.js';

/** The script with which zsh completes a program. It can be sourced after `compinit`, or lie in a folder of `fpath`. */
export function zshScript({ program, places, beforeFiles, beforeValues }: Completions): string {
  const paths = places.map(({ path }) => path).filter((path) => path !== '');
  return `#compdef ${program}
# Completion of ${program} for zsh: source <(${program} completion zsh)
_${program}() {
  local place='' i
  local -a proposed options
  for ((i = 2; i < CURRENT; i++)); do
    case "$place/\${words[i]}" in
      (${patternOf(paths)}) place="$place/\${words[i]}" ;;
    esac
  done
  case "\${words[CURRENT-1]}" in
    (${patternOf(beforeFiles)}) _files; return ;;
    (${patternOf(beforeValues)}) return ;;
  esac
  case "$place" in
${places.map(branchOf).join('\n')}
  esac
  if [[ "\${words[CURRENT]}" == -* || \${#proposed} -eq 0 ]]; then
    _describe -o option options
  else
    _describe command proposed
  fi
}
if [[ "\${funcstack[1]}" == _${program} ]]; then
  _${program} "$@"
else
  compdef _${program} ${program}
fi`;
}

const branchOf = ({ path, words, options }: Place): string => `    ('${path}')
      proposed=(${words.map(described).join(' ')})
      options=(${options.map(described).join(' ')})
      ;;`;

/** A word with its description, as _describe takes them. */
const described = ({ name, does }: Word): string => quoted(does === '' ? name : `${name}:${does}`);

const quoted = (text: string): string => `'${text.replaceAll("'", String.raw`'\''`)}'`;

/** A pattern that matches each of some texts, which may be none. */
const patternOf = (texts: readonly string[]): string => (texts.length === 0 ? `'nothing'` : texts.join('|'));
