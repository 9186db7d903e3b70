import { createContext, Script, type Context } from 'node:vm';

// How long one match may take, in milliseconds. A save waits for it. The whole process may have stood still during the first try, so
// there is a second, longer one.
const LIMITS = [200, 1_000];
const MOST_GROUPS = 10_000;
const LONGEST_GROUP = 100;
const script = new Script('pattern.test(group)');
let sandbox: Context | undefined;

/** Whether a group matches; undefined if the regular expression engine took too long. */
export type Match = boolean | undefined;

/**
 * Matches groups with the patterns of handlers, each pair once. It gives up on a pattern that takes too long, so that a save does not
 * wait for it.
 */
export class GroupMatcher {
  private readonly known = new Map<string, Map<string, Match>>();

  matches(pattern: RegExp, group: string): Match {
    const text = String(pattern);
    let ofPattern = this.known.get(text);
    if (!ofPattern) this.known.set(text, (ofPattern = new Map()));
    if (ofPattern.has(group)) return ofPattern.get(group);
    const match = matchWithin(pattern, group);
    if (ofPattern.size >= MOST_GROUPS) ofPattern.clear();
    ofPattern.set(group, match);
    return match;
  }
}

/** A group of maximal length that takes the pattern too long, if one is found. It tries repetitions of the words in the pattern. */
export function slowGroupOf(pattern: RegExp): string | undefined {
  const words = pattern.source.match(/[a-z0-9_]+/gi) ?? [];
  const parts = new Set(['a', '0', '_', 'a_', ...words, ...words.flatMap((word) => word.split(''))]);
  for (const part of parts) {
    const group = `${part.repeat(LONGEST_GROUP).slice(0, LONGEST_GROUP - 1)}!`;
    if (matchWithin(pattern, group) === undefined) return group;
  }
  return undefined;
}

function matchWithin(pattern: RegExp, group: string): Match {
  // A pattern without repetition is always fast.
  if (!/[*+{]/.test(pattern.source)) return pattern.test(group);
  sandbox ??= createContext({});
  Object.assign(sandbox, { pattern, group });
  for (const timeout of LIMITS) {
    try {
      return script.runInContext(sandbox, { timeout }) as boolean;
    } catch (error) {
      if ((error as { code?: string }).code !== 'ERR_SCRIPT_EXECUTION_TIMEOUT') throw error;
    }
  }
  return undefined;
}
