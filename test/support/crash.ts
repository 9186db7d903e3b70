import type { DataSource, QueryRunner } from 'typeorm';
import { eachQueryRunner } from './query-runners.js';

/**
 * Lets a process of a test die: from one of its statements on, none reaches the database any more. What it had not committed
 * by then is rolled back, as a server does when a connection ends.
 */
export class Crash {
  private left = Infinity;
  private isAnswerLost = false;
  private resolveHappened: () => void = () => undefined;
  /** Resolves at the first statement that is lost. */
  readonly happened = new Promise<void>((resolve) => (this.resolveHappened = resolve));
  hasHappened = false;

  constructor(private readonly dataSource: DataSource) {
    eachQueryRunner(dataSource, (runner) => this.guardRunner(runner));
  }

  /**
   * Lets so many more statements through.
   *
   * @param isAnswerLost whether the next one reaches the database, too, and only its answer is lost: a COMMIT that nobody knows of
   */
  after(statements: number, isAnswerLost = false): void {
    if (statements > this.left) return;
    this.left = statements;
    this.isAnswerLost = isAnswerLost;
  }

  /** Lets all statements through, unless one was lost. */
  spare(): void {
    if (!this.hasHappened) this.left = Infinity;
  }

  private guardRunner(runner: QueryRunner): void {
    runner.query = this.guard(runner.query.bind(runner));
    // There Spark asks the driver's own client, too.
    if (this.dataSource.options.type === 'postgres') {
      const connect = runner.connect.bind(runner);
      runner.connect = async () => this.guardedClient(await connect());
    }
  }

  /** Statements with a name are Spark's. All others are the runner's own, and counted there. */
  private guardedClient(client: any): unknown {
    const query = client.query.bind(client);
    const named = this.guard(query);
    const either = (...given: any[]) => (given[0]?.name === undefined ? query : named)(...given);
    return new Proxy(client, { get: (_, name) => (name === 'query' ? either : bound(client, name)) });
  }

  private guard(query: (...given: any[]) => Promise<any>): (...given: any[]) => Promise<any> {
    return async (...given) => {
      const [statement] = given as [string | { text: string }];
      const sql = typeof statement === 'string' ? statement : statement.text;
      if (sql.startsWith('ROLLBACK') || this.left-- > 0) return query(...given);
      const isLast = !this.hasHappened;
      this.hasHappened = true;
      if (isLast && this.isAnswerLost) await query(...given).catch(() => undefined);
      this.resolveHappened();
      throw new Error('the process is gone');
    };
  }
}

function bound(target: any, name: string | symbol): unknown {
  const value = target[name];
  return typeof value === 'function' ? value.bind(target) : value;
}
