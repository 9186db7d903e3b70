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

/** The changes of a transaction, or of a savepoint in it, so far. */
export class Capture {
  readonly subjects = new Map<string, CapturedSubject>();
  /** Entities to recheck after the commit. */
  readonly rechecks = new Map<string, SubjectRef>();
  /** Changed rows, by the rule that finds what they touch. */
  readonly touched = new Map<TouchRule, Set<string>>();
  readonly entries: LedgerEntry[] = [];
  /** The keys of events that were true of entities before the transaction, by table and id. */
  private readonly priorByRoot = new Map<EntityMetadata, Map<string, ReadonlySet<string>>>();
  /** Whether rechecks were already added in the transaction. */
  rechecksAdded = false;

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

  hasPrior({ root, id }: SubjectRef): boolean {
    return this.priorByRoot.get(root)?.has(id) ?? false;
  }

  /** Keeps what was true of an entity before the transaction. */
  addPrior(ref: SubjectRef, keys: ReadonlySet<string>): void {
    if (this.hasPrior(ref)) return;
    const byId = this.priorByRoot.get(ref.root);
    if (byId) byId.set(ref.id, keys);
    else this.priorByRoot.set(ref.root, new Map([[ref.id, keys]]));
  }

  /** What was true of entities before the transaction, by table and id. */
  priors(): ReadonlyMap<EntityMetadata, ReadonlyMap<string, ReadonlySet<string>>> {
    return this.priorByRoot;
  }

  get isEmpty(): boolean {
    const { subjects, rechecks, touched, priorByRoot, entries } = this;
    return subjects.size + rechecks.size + touched.size + priorByRoot.size + entries.length === 0;
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
    for (const [root, byId] of inner.priors()) for (const [id, keys] of byId) this.addPrior({ root, id }, keys);
    this.entries.push(...inner.entries);
    this.rechecksAdded ||= inner.rechecksAdded;
  }
}

const textOf = ({ root, id }: SubjectRef): string => `${tableOf(root)} ${id}`;
