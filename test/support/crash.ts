import type { DataSource, QueryRunner } from 'typeorm';
import { eachQueryRunner } from './query-runners.js';

/**
 * Lets a process of a test die: from one of its statements on, none reaches the database any more. What it had not committed
 * by then is rolled back, as a server does when a connection ends.
 */
export class Crash {
  private left = Infinity;
  private resolveHappened: () => void = () => undefined;
  /** Resolves at the first statement that is lost. */
  readonly happened = new Promise<void>((resolve) => (this.resolveHappened = resolve));

  constructor(private readonly dataSource: DataSource) {
    eachQueryRunner(dataSource, (runner) => this.guardRunner(runner));
  }

  /** Lets so many more statements through. */
  after(statements: number): void {
    this.left = Math.min(this.left, statements);
  }

  private guardRunner(runner: QueryRunner): void {
    runner.query = this.guard(runner.query.bind(runner));
    // There Spark asks the driver's own client, too.
    if (this.dataSource.options.type === 'postgres') {
      const connect = runner.connect.bind(runner);
      runner.connect = async () => this.guardedClient(await connect());
    }
  }

  private guardedClient(client: any): unknown {
    const query = this.guard(client.query.bind(client));
    return new Proxy(client, { get: (_, name) => (name === 'query' ? query : bound(client, name)) });
  }

  private guard(query: (...given: any[]) => Promise<any>): (...given: any[]) => Promise<any> {
    return (...given) => {
      const [statement] = given as [string | { text: string }];
      const sql = typeof statement === 'string' ? statement : statement.text;
      if (sql.startsWith('ROLLBACK') || this.left-- > 0) return query(...given);
      this.resolveHappened();
      return Promise.reject(new Error('the process is gone'));
    };
  }
}

function bound(target: any, name: string | symbol): unknown {
  const value = target[name];
  return typeof value === 'function' ? value.bind(target) : value;
}
