import type { Recipient } from '../database/dialect.js';

/** A version of a handler that may get deliveries. */
export interface Candidate {
  readonly recipient: Recipient;
  readonly pattern: RegExp;
  /** When a process last registered it, in epoch milliseconds; Infinity for the handlers of this process. */
  readonly seen: number;
  /** The names that the handler had before. */
  readonly aliases: readonly string[];
}

/** A handler: all the names that it has had, and the versions of it that may get deliveries. */
export interface Lineage {
  readonly names: ReadonlySet<string>;
  readonly versions: readonly Candidate[];
}

/**
 * The versions of each handler, under all the names that it has had. The first version that matches gets the deliveries: this process's
 * own comes first, then the one that was seen last. A version is left out if it was seen `live` milliseconds or more before the latest one.
 */
export function lineagesOf(candidates: readonly Candidate[], live: number): Lineage[] {
  const lineages: { names: Set<string>; members: Candidate[] }[] = [];
  for (const candidate of candidates) {
    const names = new Set([candidate.recipient.name, ...candidate.aliases]);
    const kin = lineages.filter((lineage) => [...names].some((name) => lineage.names.has(name)));
    for (const lineage of kin) {
      for (const name of lineage.names) names.add(name);
      lineages.splice(lineages.indexOf(lineage), 1);
    }
    lineages.push({ names, members: [...kin.flatMap(({ members }) => members), candidate] });
  }
  return lineages.map(({ names, members }) => {
    const others = members.filter(({ seen }) => seen !== Infinity);
    const last = Math.max(...others.map(({ seen }) => seen));
    const living = members.filter(({ seen }) => seen === Infinity || seen > last - live);
    return { names, versions: living.toSorted(bySight) };
  });
}

const bySight = (a: Candidate, b: Candidate): number => {
  if (a.seen !== b.seen) return b.seen > a.seen ? 1 : -1;
  return a.recipient.name < b.recipient.name ? -1 : 1;
};
