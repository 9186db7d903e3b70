const HOW = `Write in its imports, after TypeOrmModule:
  SparkModule.forRoot(),
and at its top:
  import { SparkModule } from 'nestjs-spark';`;

export const noModule = (file: string): string =>
  `There is no ${file}. Nothing was changed.

If the root module is in another file, name it:
  nest add nestjs-spark --skip-install --module=src/main.module.ts
Or change it yourself. ${HOW}`;

export const fixModule = (file: string): string =>
  `${file} was not changed: it has no @Module(), or its imports are not written as an array.

Change it yourself. ${HOW}`;

export const noTypeOrm = (file: string): string =>
  `Spark stores events in a database of TypeORM, and there is no TypeOrmModule.forRoot(). Nothing was changed.

1. Install TypeORM and a driver:
  npm i @nestjs/typeorm typeorm better-sqlite3
2. Write in the imports of ${file}, for example:
  TypeOrmModule.forRoot({ type: 'better-sqlite3', database: 'app.db', autoLoadEntities: true, synchronize: true }),
3. Run this again:
  nest add nestjs-spark --skip-install

If TypeOrmModule is imported in a way that was not found, change ${file} yourself. ${HOW}`;

export interface AddedModule {
  readonly file: string;
  /** Packages that are not in package.json. */
  readonly missing: readonly string[];
  /** Whether the application calls enableShutdownHooks. */
  readonly hasHooks: boolean;
}

export function nextSteps({ file, missing, hasHooks }: AddedModule): string {
  const steps = [
    ...(missing.length > 0 ? [`Install what package.json does not have: npm i ${missing.join(' ')}`] : []),
    'Create the tables of Spark. `synchronize: true` does it at boot. Without it, add `...sparkMigrations()` of nestjs-spark to the ' +
      'migrations of your DataSource.',
    ...(hasHooks ? [] : ['Call `app.enableShutdownHooks()` in main.ts.']),
    'Write a source and a handler:\n' +
      '   nest g -c nestjs-spark source challenge\n' +
      '   nest g -c nestjs-spark handler challenge-created',
    'Read node_modules/nestjs-spark/docs/getting-started.md.',
  ];
  return `${file} imports SparkModule.forRoot() now.\n\n${steps.map((step, i) => `${i + 1}. ${step}`).join('\n')}\n`;
}
