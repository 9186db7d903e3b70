import type { Completions, Place, Word } from './completions.js';

/** The script with which bash completes a program. It works with bash 3.2 and later. */
export function bashScript({ program, places, beforeFiles, beforeValues }: Completions): string {
  const paths = places.map(({ path }) => path).filter((path) => path !== '');
  return `# Completion of ${program} for bash: source <(${program} completion bash)
_${program}() {
  local current="\${COMP_WORDS[COMP_CWORD]}" place='' words='' options='' i
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "$place/\${COMP_WORDS[i]}" in
      ${patternOf(paths)}) place="$place/\${COMP_WORDS[i]}" ;;
    esac
  done
  COMPREPLY=()
  case "\${COMP_WORDS[COMP_CWORD-1]}" in
    ${patternOf(beforeFiles)})
      local IFS=$'\\n'
      compopt -o filenames 2>/dev/null
      COMPREPLY=($(compgen -f -- "$current"))
      return
      ;;
    ${patternOf(beforeValues)}) return ;;
  esac
  case "$place" in
${places.map(branchOf).join('\n')}
  esac
  if [[ "$current" == -* || -z "$words" ]]; then words="$options"; fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -F _${program} ${program}`;
}

const branchOf = ({ path, words, options }: Place): string =>
  `    '${path}') words='${namesOf(words)}' options='${namesOf(options)}' ;;`;

const namesOf = (words: readonly Word[]): string => words.map(({ name }) => name).join(' ');

/** A pattern that matches each of some texts, which may be none. */
const patternOf = (texts: readonly string[]): string => (texts.length === 0 ? `'nothing'` : texts.join(' | '));
