import { AbstractLogger } from 'typeorm';

/** The statements that a DataSource sends: its option `logger`. */
export class QueryLog extends AbstractLogger {
  readonly statements: string[] = [];

  constructor() {
    super('all');
  }

  override logQuery(statement: string): void {
    this.statements.push(statement);
  }

  protected writeLog(): void {}
}
