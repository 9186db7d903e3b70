/** A database on a server. */
export interface ServerDatabase {
  readonly name: string;
  readonly url: string;
}

/** What a server does with databases. */
export interface DatabaseMaker {
  make(): Promise<ServerDatabase>;
  /** Empties a database. It returns the same text again as long as the database is otherwise as it was made. */
  clean(database: ServerDatabase): Promise<string>;
  drop(database: ServerDatabase): Promise<void>;
}

interface Clean extends ServerDatabase {
  /** What `clean` returned when it was new. */
  readonly asMade: string;
}

/**
 * Databases that tests hand on to each other: to make one and to drop it takes a server ten times as long as to empty it. What a test
 * has changed in another way than by rows, tables and types of its own is not handed on.
 */
export class RecycledDatabases {
  private readonly ready: Clean[] = [];
  private readonly coming = new Set<Promise<void>>();
  private readonly failures: unknown[] = [];

  constructor(private readonly maker: DatabaseMaker) {}

  /** A database like a new one. The next one is made while a test runs. */
  async take(): Promise<Clean> {
    while (this.ready.length === 0 && this.coming.size > 0) await Promise.race(this.coming);
    // A database that could not be dropped fails the next test.
    if (this.failures.length > 0) throw this.failures.shift();
    const taken = this.ready.pop() ?? (await this.made());
    // If that fails, it is for the test that needs one.
    if (this.ready.length + this.coming.size === 0) this.expect(this.made().catch(() => undefined));
    return taken;
  }

  /** Takes a database back. It is emptied while the next test runs. */
  giveBack(database: Clean): void {
    this.expect(this.recycled(database));
  }

  private expect(work: Promise<Clean | undefined>): void {
    const coming = work
      .then((clean) => void (clean && this.ready.push(clean)))
      .catch((error: unknown) => void this.failures.push(error))
      .finally(() => this.coming.delete(coming));
    this.coming.add(coming);
  }

  private async made(): Promise<Clean> {
    const database = await this.maker.make();
    return { ...database, asMade: await this.maker.clean(database) };
  }

  private async recycled(database: Clean): Promise<Clean | undefined> {
    const { asMade } = database;
    // Whatever does not let itself be emptied is dropped.
    const now = await this.maker.clean(database).catch(() => undefined);
    if (now === asMade) return database;
    await this.maker.drop(database);
    return undefined;
  }
}
