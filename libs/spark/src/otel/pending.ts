/**
 * Keeps what has begun and may never end, because an event was known or its transaction was rolled back. It keeps the latest ones, and
 * forgets the oldest half when it is full.
 */
export class Pending<T> {
  private young = new Map<string, T>();
  private old = new Map<string, T>();

  /** @param most how many it keeps at most */
  constructor(private readonly most: number) {}

  add(key: string, value: T): void {
    if (this.young.size >= this.most / 2) {
      this.old = this.young;
      this.young = new Map();
    }
    this.young.set(key, value);
  }

  /** Returns what was added last with this key, and keeps it no longer. */
  take(key: string): T | undefined {
    const value = this.young.get(key) ?? this.old.get(key);
    this.young.delete(key);
    this.old.delete(key);
    return value;
  }

  get size(): number {
    return this.young.size + this.old.size;
  }
}
