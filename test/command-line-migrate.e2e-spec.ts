import { sparkMigrations } from 'nestjs-spark';
import { DataSource } from 'typeorm';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest';
import { type CommandLine, commandLine, dataSourceText } from './support/command-line.js';
import { databases, type TestDatabase } from './support/databases.js';

let cli: CommandLine;
beforeAll(async () => {
  cli = await commandLine();
});
afterAll(() => cli.remove());

describe.each(databases)('the command line migrates the tables, on $name', { timeout: 120_000 }, (database) => {
  let db: TestDatabase;
  let dataSource: DataSource;
  let file: string;

  beforeEach(async () => {
    db = await database.createEmpty();
    dataSource = await new DataSource(db.options).initialize();
    file = cli.write('data-source.mjs', dataSourceText('esm', db));
  });
  afterEach(async () => {
    await dataSource.destroy();
    await db.drop();
  });

  const spark = (...args: string[]) => cli.run([...args, '-d', file]);
  const tables = async () => {
    const runner = dataSource.createQueryRunner();
    const names = ['agenda', 'chore', 'event', 'recheck', 'version'].map((name) => `spark_${name}`);
    const found: string[] = [];
    for (const name of names) if (await runner.hasTable(name)) found.push(name);
    await runner.release();
    return found;
  };
  const migrate = async (to: number) => {
    const runner = dataSource.createQueryRunner();
    for (const Migration of sparkMigrations().slice(0, to)) await new Migration().up(runner);
    await runner.release();
  };
  const statements = async () => (await spark('migrate', 'sql', '--json')).json.map(({ sql }) => sql as string);

  it('status says what is pending and ends with 1, up creates the tables, and a second up has nothing to do', async () => {
    const before = await spark('migrate', 'status');
    expect(before.code).toBe(1);
    expect(before.stdout).toMatch(/^There are no tables of Spark, .* Pending: CreateSparkTables1764000000000, /);
    const status = await spark('status');
    expect(status.code).toBe(1);
    expect(status.stderr).toMatch(/^The tables spark_event, .* are missing\. .* Or run: spark migrate up\n$/);
    expect((await spark('migrate', 'up', '--json')).json[0].done).toHaveLength(sparkMigrations().length);
    const [after, again, printed] = await Promise.all([
      spark('migrate', 'status'),
      spark('migrate', 'up', '--json'),
      spark('migrate', 'sql'),
    ]);
    expect(after).toMatchObject({ code: 0, stderr: '' });
    expect(again.json).toMatchObject([{ done: [], pending: [], missing: [] }]);
    expect(printed).toMatchObject({ code: 0, stdout: '' });
  });

  it('sql prints the statements that create the tables, and creates none; run by hand, they do', async () => {
    const sql = await statements();
    expect(await tables()).toEqual([]);
    for (const one of sql) await dataSource.query(one);
    expect(await spark('migrate', 'status', '--json')).toMatchObject({ code: 0, json: [{ pending: [], missing: [] }] });
  });

  it('sql prints the statements that change older tables, and does not touch these', async () => {
    await migrate(2);
    await dataSource.query(
      `INSERT INTO spark_handler (name, pattern, priority, revision, first_seen_at, last_seen_at) VALUES ('x', '/x/', 0, 1, 1, 1)`,
    );
    const before = await tables();
    const sql = await statements();
    expect(sql.filter((one) => one.includes('spark_sql_'))).toEqual([]);
    expect(await tables()).toEqual(before);
    expect(before).not.toContain('spark_recheck');
    expect(await spark('migrate', 'status', '--json')).toMatchObject({ code: 1, json: [{ version: 2 }] });
    const status = await spark('status');
    expect(status.stderr).toMatch(/of version 2, .* Run the migration ExtendSparkTables.* Or run: spark migrate up\n$/);
    for (const one of sql) await dataSource.query(one);
    expect(await spark('migrate', 'status', '--json')).toMatchObject({ code: 0, json: [{ pending: [], missing: [] }] });
  });

  it('up completes tables of which an interrupted migration has left something out', async () => {
    await spark('migrate', 'up');
    await dataSource.query('DROP TABLE spark_chore');
    expect(await spark('migrate', 'status')).toMatchObject({
      code: 1,
      stdout: expect.stringContaining('these parts are missing: the table spark_chore'),
    });
    expect(await spark('migrate', 'up')).toMatchObject({ code: 0 });
    expect(await tables()).toContain('spark_chore');
  });
});
