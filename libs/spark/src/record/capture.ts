import type { EntityMetadata } from 'typeorm';
import type { LedgerEntry } from '../store/ledger.js';
import { tableOf } from '../entity/entity-table.js';
import type { SubjectRef } from '../entity/subject-ref.js';
import type { TouchRule } from '../source/touches.js';

/** An entity that a transaction has written. */
export interface CapturedSubject {
  readonly ref: SubjectRef;
  /** Whether the transaction has inserted it. */
  readonly isNew: boolean;
}

/** If a transaction writes more entities than this, Spark rechecks them after the commit, to keep the transaction short. */
export const MOST_IN_TRANSACTION = 1_000;

/** The changes of a transaction, or of a savepoint in it, so far. */
export class Capture {
  readonly subjects = new Map<string, CapturedSubject>();
  /** Entities to recheck after the commit. */
  readonly rechecks = new Map<string, SubjectRef>();
  /** Changed rows, by the rule that finds what they touch. */
  readonly touched = new Map<TouchRule, Set<string>>();
  readonly entries: LedgerEntry[] = [];
  /** When rechecks are due that were already added in the transaction, in epoch milliseconds, by their entities. */
  readonly added = new Map<EntityMetadata, Set<number>>();

  subject({ ref, isNew }: CapturedSubject): void {
    const key = textOf(ref);
    this.subjects.set(key, { ref, isNew: isNew || (this.subjects.get(key)?.isNew ?? false) });
  }

  recheck(ref: SubjectRef): void {
    this.rechecks.set(textOf(ref), ref);
  }

  touch(rule: TouchRule, id: string): void {
    const ids = this.touched.get(rule);
    if (ids) ids.add(id);
    else this.touched.set(rule, new Set([id]));
  }

  /** Notes that rechecks of an entity's rows were added in the transaction. */
  addedRechecks(root: EntityMetadata, due: number): void {
    this.added.set(root, (this.added.get(root) ?? new Set()).add(due));
  }

  get isEmpty(): boolean {
    const { subjects, rechecks, touched, added, entries } = this;
    return subjects.size + rechecks.size + touched.size + added.size + entries.length === 0;
  }

  /** Whether all written entities were inserted: if so, their events are probably new. */
  get isNew(): boolean {
    return [...this.subjects.values()].every(({ isNew }) => isNew);
  }

  /** Adds the changes of a released savepoint. */
  merge(inner: Capture): void {
    for (const subject of inner.subjects.values()) this.subject(subject);
    for (const [key, recheck] of inner.rechecks) this.rechecks.set(key, recheck);
    for (const [rule, ids] of inner.touched) for (const id of ids) this.touch(rule, id);
    this.entries.push(...inner.entries);
    for (const [root, dues] of inner.added) for (const due of dues) this.addedRechecks(root, due);
  }
}

const textOf = ({ root, id }: SubjectRef): string => `${tableOf(root)} ${id}`;
