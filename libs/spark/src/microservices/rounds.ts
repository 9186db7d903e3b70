/**
 * Splits items into rounds that are sent one after the other. A round has at most one item of an entity, and those of an entity are in their
 * order. Items without an entity are in the first round.
 */
export function roundsOf<T>(items: readonly T[], entityOf: (item: T) => string | undefined): T[][] {
  const rounds: T[][] = items.length > 0 ? [[]] : [];
  const counts = new Map<string, number>();
  for (const item of items) {
    const entity = entityOf(item);
    const round = entity === undefined ? 0 : (counts.get(entity) ?? 0);
    if (entity !== undefined) counts.set(entity, round + 1);
    (rounds[round] ??= []).push(item);
  }
  return rounds;
}
