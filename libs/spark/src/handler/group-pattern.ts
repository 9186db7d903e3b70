import { types } from 'node:util';
import { literal } from '../common/literal-pattern.js';
import { InvalidOptionsError } from '../error/invalid-options.error.js';
import { type EventDefinition, isDefinition } from '../event/event-definition.js';

/** What a handler matches: the regular expression that is registered for it, and the definitions that its decorator names, by group. */
export interface GroupPattern {
  readonly pattern: RegExp;
  readonly definitions?: ReadonlyMap<string, EventDefinition>;
}

const OPTION = 'pattern of @GroupHandler';

/**
 * Reads the first argument of `@GroupHandler`.
 *
 * @throws SyntaxError, InvalidOptionsError
 */
export function groupPattern(given: unknown): GroupPattern {
  if (typeof given === 'string') return { pattern: new RegExp(given) };
  // With the flags `g` and `y`, a RegExp remembers its last position and would miss every other event.
  if (types.isRegExp(given)) return { pattern: new RegExp(given.source, given.flags.replace(/[gy]/g, '')) };
  const definitions = definitionsIn(given);
  return { pattern: exactly([...definitions.keys()]), definitions };
}

function definitionsIn(given: unknown): Map<string, EventDefinition> {
  const definitions = new Map<string, EventDefinition>();
  for (const one of Array.isArray(given) ? (given as unknown[]) : [given]) {
    if (!isDefinition(one))
      throw new InvalidOptionsError(
        OPTION,
        one,
        'a regular expression, the source of one, or what defineEvent returned',
      );
    if (definitions.has(one.group))
      throw new InvalidOptionsError(OPTION, given, `definitions of different groups; '${one.group}' is there twice`);
    definitions.set(one.group, one);
  }
  if (definitions.size === 0) throw new InvalidOptionsError(OPTION, given, 'at least one definition');
  return definitions;
}

/** A pattern that matches these groups and no others. */
function exactly(groups: readonly string[]): RegExp {
  const sources = groups.map(literal);
  return new RegExp(sources.length === 1 ? `^${sources[0]}$` : `^(?:${sources.join('|')})$`);
}

/** The pattern as text that every process can read back. */
export const writePattern = (pattern: RegExp): string => `/${pattern.source}/${pattern.flags}`;

/** Reads what {@link writePattern} wrote. */
export function readPattern(text: string): RegExp {
  const end = text.lastIndexOf('/');
  return new RegExp(text.slice(1, end), text.slice(end + 1));
}
