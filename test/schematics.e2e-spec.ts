import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { check } from 'prettier';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { compilerErrors, type FreshApplication, runProgram, SchematicsFolder } from './support/fresh-application.js';

const NEST = '@nestjs/cli/bin/nest.js';
const VITEST = 'vitest/vitest.mjs';
/** The generated spec's driver aborts there: see apps/challenges/src/sqlite.ts. */
const aborts = Number(process.versions.node.split('.')[0]) >= 24;

const CHALLENGE = `import { Column, Entity, PrimaryGeneratedColumn } from 'typeorm';

@Entity()
export class Challenge {
  @PrimaryGeneratedColumn() id: number;
  @Column() title: string;
}
`;

let home: SchematicsFolder;
beforeAll(async () => {
  home = await SchematicsFolder.open();
});
afterAll(() => home.remove());

/** A fresh application whose developer has set up TypeORM and an entity. */
async function withTypeOrm(kind: 'esm' | 'cjs' = 'esm'): Promise<FreshApplication> {
  const app = await home.application(kind);
  const module = app.read('/src/app.module.ts');
  app.write({
    '/src/challenge/challenge.entity.ts': CHALLENGE,
    '/src/app.module.ts': module
      .replace(/^import \{ AppService.*$/m, (line) =>
        [
          line,
          `import { TypeOrmModule } from '@nestjs/typeorm';`,
          `import { Challenge } from './challenge/challenge.entity${app.js}';`,
        ].join('\n'),
      )
      .replace(
        'imports: []',
        `imports: [
    TypeOrmModule.forRoot({
      type: 'better-sqlite3',
      database: ':memory:',
      entities: [Challenge],
      synchronize: true,
    }),
  ]`,
      ),
  });
  return app;
}

describe.each(['esm', 'cjs'] as const)('nest add nestjs-spark, in a fresh application: %s', (kind) => {
  it('imports SparkModule after TypeOrmModule, and says what comes next', async () => {
    const app = await withTypeOrm(kind);
    const before = app.read('/src/app.module.ts');
    const logs = await app.run('nest-add', { sourceRoot: 'src' });
    const importOfEntity = `import { Challenge } from './challenge/challenge.entity${app.js}';`;
    expect(app.read('/src/app.module.ts')).toBe(
      before
        .replace(importOfEntity, `${importOfEntity}\nimport { SparkModule } from 'nestjs-spark';`)
        .replace('    }),\n  ],', '    }),\n    SparkModule.forRoot(),\n  ],'),
    );
    expect(logs).toHaveLength(1);
    expect(logs[0]).toMatch(/^info src\/app\.module\.ts imports SparkModule\.forRoot\(\) now\./);
    expect(logs[0]).toMatch(/1\. .*npm i @nestjs\/schedule @nestjs\/typeorm typeorm\n/);
    expect(logs[0]).toMatch(/sparkMigrations\(\).*\n3\. .*enableShutdownHooks\(\)/);
    expect(logs[0]).toContain('node_modules/nestjs-spark/docs/getting-started.md');
  });

  it('does nothing the second time', async () => {
    const app = await withTypeOrm(kind);
    await app.run('nest-add', { sourceRoot: 'src' });
    const once = app.files.map((file) => app.read(file));
    expect(await app.run('nest-add', { sourceRoot: 'src' })).toEqual([
      'info src/app.module.ts has SparkModule already. Nothing was changed.',
    ]);
    expect(app.files.map((file) => app.read(file))).toEqual(once);
  });

  it('without TypeORM, changes nothing and says what to write', async () => {
    const app = await home.application(kind);
    const before = app.read('/src/app.module.ts');
    await expect(app.run('nest-add', { sourceRoot: 'src' })).rejects.toThrow(
      /Nothing was changed[^]*npm i @nestjs\/typeorm typeorm[^]*imports of src\/app\.module\.ts[^]*TypeOrmModule\.forRoot/,
    );
    expect(app.read('/src/app.module.ts')).toBe(before);
  });
});

describe('nest add nestjs-spark', () => {
  it('finds SparkModule and TypeOrmModule in other files, but not in comments', async () => {
    const app = await home.application('esm');
    app.write({
      '/src/database.module.ts': `// SparkModule.forRoot() comes later\nexport const database = TypeOrmModule.forRootAsync({});\n`,
    });
    await app.run('nest-add', { sourceRoot: 'src' });
    expect(app.read('/src/app.module.ts')).toContain('imports: [SparkModule.forRoot()],');

    const other = await home.application('esm');
    other.write({ '/src/spark/events.module.ts': `export const spark = SparkModule\n  .forRootAsync({});\n` });
    const logs = await other.run('nest-add', { sourceRoot: 'src' });
    expect(logs).toEqual(['info src/spark/events.module.ts has SparkModule already. Nothing was changed.']);
  });

  it('takes the module that is named, or the only one of the source root', async () => {
    const app = await withTypeOrm();
    const text = app.read('/src/app.module.ts');
    app.remove('/src/app.module.ts');
    const database = `export const database = TypeOrmModule.forRoot();\n`;
    app.write({
      '/apps/shop/src/shop.module.ts': text,
      '/src/core/main.module.ts': text,
      '/libs/database.ts': database,
    });
    await app.run('nest-add', { sourceRoot: 'apps/shop/src' });
    await app.run('nest-add', { sourceRoot: 'src', module: 'src/core/main.module.ts' });
    for (const file of ['/apps/shop/src/shop.module.ts', '/src/core/main.module.ts'])
      expect(app.read(file)).toContain('    SparkModule.forRoot(),\n  ],');
  });

  it('without a root module, or with one that cannot be changed: says what to write', async () => {
    const app = await withTypeOrm();
    const text = app.read('/src/app.module.ts');
    const what = /SparkModule\.forRoot\(\),\n[^]*import \{ SparkModule \} from 'nestjs-spark';/;
    for (const odd of [text.replace('imports: [', 'imports: importsOf['), 'export const nothing = 1;\n']) {
      app.write({ '/src/app.module.ts': odd, '/src/database.ts': `TypeOrmModule.forRoot();\n` });
      const error: Error = await app.run('nest-add', { sourceRoot: 'src' }).then(
        () => expect.fail('it changed the module'),
        (thrown) => thrown,
      );
      expect(error.message).toMatch(/^src\/app\.module\.ts was not changed/);
      expect(error.message).toMatch(what);
      expect(app.read('/src/app.module.ts')).toBe(odd);
    }
    app.remove('/src/app.module.ts');
    await expect(app.run('nest-add', { sourceRoot: 'src' })).rejects.toThrow(what);
    await expect(app.run('nest-add', { module: 'src/x.module.ts' })).rejects.toThrow(
      /There is no src\/x\.module\.ts[^]*--module=/,
    );
  });

  it('does not ask for what is there', async () => {
    const app = await withTypeOrm();
    const main = app.read('/src/main.ts').replace('  await app', '  app.enableShutdownHooks();\n  await app');
    const dependencies = { '@nestjs/schedule': '*', '@nestjs/typeorm': '*', typeorm: '*' };
    app.write({ '/src/main.ts': main, '/package.json': JSON.stringify({ type: 'module', dependencies }) });
    const [log] = await app.run('nest-add');
    expect(log).toContain('1. Create the tables');
    expect(log).not.toMatch(/npm i|enableShutdownHooks/);
  });
});

describe.each(['esm', 'cjs'] as const)('nest g -c nestjs-spark, in a fresh application: %s', (kind) => {
  it('source: writes a source of the entity and its spec, and provides it', async () => {
    const app = await withTypeOrm(kind);
    const logs = await app.run('source', { name: 'challenge', sourceRoot: 'src' });
    expect(logs).toEqual([]);
    expect(app.read('/src/challenge/challenge.source.ts')).toBe(`import { Injectable } from '@nestjs/common';
import { EventSource, sparkEvent, type SparkSource } from 'nestjs-spark';
import { Challenge } from './challenge.entity${app.js}';

/** Yields the events that are true of each Challenge. */
@EventSource(Challenge)
@Injectable()
export class ChallengeSource implements SparkSource<Challenge> {
  *events(challenge: Challenge) {
    yield sparkEvent('challenge_created', challenge.id, { challenge });
  }
}
`);
    expect(app.files).toContain('/src/challenge/challenge.source.spec.ts');
    const module = app.read('/src/app.module.ts');
    expect(module).toContain(`import { ChallengeSource } from './challenge/challenge.source${app.js}';\n`);
    expect(module).toContain('providers: [AppService, ChallengeSource],');
  });

  it('handler: writes a handler of the group and its spec, and provides it', async () => {
    const app = await withTypeOrm(kind);
    const logs = await app.run('handler', { name: 'challenge-ended', sourceRoot: 'src' });
    expect(logs).toEqual([expect.stringMatching(/^info The spec uses SQLite: npm i -D better-sqlite3/)]);
    const text = app.read('/src/challenge-ended/challenge-ended.handler.ts');
    expect(text).toContain(`@GroupHandler(/^challenge_ended$/, { name: 'challenge-ended' })
@Injectable()
export class ChallengeEndedHandler implements SparkHandler {`);
    const spec = app.read('/src/challenge-ended/challenge-ended.handler.spec.ts');
    expect(spec).toContain(`import { ChallengeEndedHandler } from './challenge-ended.handler${app.js}';`);
    expect(app.read('/src/app.module.ts')).toContain('providers: [AppService, ChallengeEndedHandler],');
  });
});

describe('nest g -c nestjs-spark', () => {
  it('takes the options that the schematics of Nest take', async () => {
    const app = await withTypeOrm();
    app.write({ '/src/feature/feature.module.ts': `@Module({ providers: [] })\nexport class FeatureModule {}\n` });
    const before = app.files;
    const options = { sourceRoot: 'src', flat: true };
    await app.run('handler', { ...options, name: 'ChallengeEnded', path: 'feature', spec: false });
    await app.run('handler', { ...options, name: 'deep/er/bye', specFileSuffix: 'test', skipImport: true });
    await app.run('source', { sourceRoot: 'src', name: 'feature/challenges', spec: false });
    expect(app.files.filter((file) => !before.includes(file)).sort()).toEqual([
      '/src/deep/er/bye.handler.test.ts',
      '/src/deep/er/bye.handler.ts',
      '/src/feature/challenge-ended.handler.ts',
      '/src/feature/challenges/challenges.source.ts',
    ]);
    expect(app.read('/src/feature/feature.module.ts')).toBe(
      `import { ChallengeEndedHandler } from './challenge-ended.handler.js';
import { ChallengesSource } from './challenges/challenges.source.js';
@Module({ providers: [ChallengeEndedHandler, ChallengesSource] })
export class FeatureModule {}
`,
    );
    expect(app.read('/src/app.module.ts')).not.toContain('Handler');
    expect(app.read('/src/feature/challenges/challenges.source.ts')).toContain(
      `import { Challenge } from '../../challenge/challenge.entity.js';`,
    );
  });

  it('source: finds entities by their class, the nearest first, and their primary keys', async () => {
    const app = await withTypeOrm();
    const entity = (keys: string) => `@Entity()\nexport class Package {\n${keys}\n}\n`;
    app.write({
      '/src/package/dto.ts': 'export class Package { id: number; }\n',
      '/src/far/away/package.ts': entity('  @PrimaryColumn() far: number;'),
      '/src/model/package.ts': entity(
        `  @PrimaryColumn() depot: string;\n  @PrimaryColumn({ type: 'int' }) readonly 'number': number;\n  @typeorm.PrimaryColumn() shelf: number;`,
      ),
    });
    await app.run('source', { name: 'package', sourceRoot: 'src' });
    const text = app.read('/src/package/package.source.ts');
    expect(text).toContain(`import { Package } from '../model/package.js';`);
    expect(text).toContain(`  *events(entity: Package) {
    yield sparkEvent('package_created', [entity.depot, entity.shelf], { package: entity });`);
    expect(app.read('/src/package/package.source.spec.ts')).toContain(
      `const entity = Object.assign(new Package(), { depot: 1, shelf: 2 });`,
    );

    await app.run('source', { name: 'mails', entity: 'Challenge', sourceRoot: 'src' });
    expect(app.read('/src/mails/mails.source.ts')).toContain(`from '../challenge/challenge.entity.js';`);
    await app.run('source', { name: 'far', entity: 'src/far/away/package.ts#Package', sourceRoot: 'src' });
    expect(app.read('/src/far/far.source.ts')).toContain(`sparkEvent('package_created', entity.far, {`);
  });

  it('source: warns if it does not find the entity, its primary key, or a module', async () => {
    const app = await withTypeOrm();
    const gone = await app.run('source', { name: 'order-line', sourceRoot: 'src' });
    expect(gone).toEqual([
      expect.stringMatching(/^warn There is no exported class OrderLine\. .*order-line\.entity\.ts/),
    ]);
    expect(app.read('/src/order-line/order-line.source.ts')).toContain(`from './order-line.entity.js';`);

    app.write({ '/src/invoice.ts': '@Entity()\nexport class Invoice { @Column() number: string; }\n' });
    const keyless = await app.run('source', { name: 'invoice', sourceRoot: 'src' });
    expect(keyless).toEqual([expect.stringMatching(/^warn Invoice in src\/invoice\.ts has no primary key/)]);

    app.write({ '/src/app.module.ts': 'export class AppModule {}\n' });
    const unreadable = await app.run('source', { name: 'challenge', sourceRoot: 'src' });
    expect(unreadable).toEqual([
      expect.stringMatching(/^warn src\/app\.module\.ts was not changed. .*ChallengeSource/),
    ]);
    app.remove('/src/app.module.ts');
    const alone = await app.run('source', { name: 'challenges', sourceRoot: 'src' });
    expect(alone).toEqual([
      expect.stringMatching(/^warn There is no module above src\/challenges. .*ChallengesSource/),
    ]);
  });

  it.each(['challenge!', '7days', 'a b@c', '-', '..', `x';y`, 'dots.in'])('refuses the name %s', async (name) => {
    const app = await withTypeOrm();
    const before = app.files;
    for (const schematic of ['source', 'handler'])
      await expect(app.run(schematic, { name, sourceRoot: 'src' })).rejects.toThrow(
        /cannot be the name of a (source|handler)/,
      );
    expect(app.files).toEqual(before);
  });

  it('refuses what it would overwrite, entities that are not there, and JavaScript', async () => {
    const app = await withTypeOrm();
    await app.run('source', { name: 'challenge', sourceRoot: 'src' });
    const module = app.read('/src/app.module.ts');
    const source = (options: object) => app.run('source', { name: 'challenge', sourceRoot: 'src', ...options });
    await expect(source({})).rejects.toThrow(/src\/challenge\/challenge\.source\.ts exists already/);
    const at = (entity: string) => source({ name: 'other', entity });
    await expect(at('src/none.ts#Challenge')).rejects.toThrow(/src\/none\.ts exports no class Challenge/);
    await expect(at('src/main.ts#Challenge')).rejects.toThrow(/src\/main\.ts exports no class Challenge/);
    await expect(at('a-b')).rejects.toThrow(/"a-b" cannot be an entity/);
    await expect(source({ name: 'other', language: 'js' })).rejects.toThrow(/write TypeScript/);
    expect(app.read('/src/app.module.ts')).toBe(module);
  });

  it('stays in the source root, whatever the path', async () => {
    const app = await withTypeOrm();
    await app.run('handler', { name: '../../../bye', path: '../..', sourceRoot: 'src', spec: false });
    expect(app.files).toContain('/src/bye/bye.handler.ts');
  });
});

describe('what is generated', { timeout: 120_000 }, () => {
  const calls: Awaited<ReturnType<typeof runProgram>>[] = [];
  let esm: string;
  beforeAll(async () => {
    const app = await withTypeOrm('esm');
    await app.run('handler', { name: 'challenge-created', sourceRoot: 'src' });
    esm = app.writeTo('esm');
    const source = ['g', '-c', 'nestjs-spark', 'source', 'challenge'];
    for (const args of [['add', 'nestjs-spark', '--skip-install'], source])
      calls.push(await runProgram(esm, NEST, args));
  });

  it('is what the CLI of Nest writes', () => {
    const [added, generated] = calls;
    expect(added).toEqual({
      code: 0,
      output: expect.stringMatching(/imports SparkModule[^]*UPDATE src\/app\.module\.ts/),
    });
    for (const line of [
      'CREATE src/challenge/challenge.source.ts',
      'CREATE src/challenge/challenge.source.spec.ts',
      'UPDATE src/app.module.ts',
    ])
      expect(generated!.output).toContain(line);
  });

  it('compiles in strict TypeScript, as ES modules and as CommonJS, and is formatted as Nest formats', async () => {
    const app = await withTypeOrm('cjs');
    await app.run('nest-add', { sourceRoot: 'src' });
    await app.run('handler', { name: 'challenge-created', sourceRoot: 'src' });
    await app.run('source', { name: 'challenge', sourceRoot: 'src' });
    expect(compilerErrors([esm, app.writeTo('cjs')])).toEqual([]);
    const written = app.files.filter((file) => /\.(?:source|handler)\.|app\.module/.test(file));
    expect(written).toHaveLength(5);
    const rules = JSON.parse(app.read('/.prettierrc')) as object;
    for (const file of written) {
      const isFormatted = await check(app.read(file), { ...rules, parser: 'typescript' });
      expect({ file, isFormatted }).toEqual({ file, isFormatted: true });
    }
  });

  it.skipIf(aborts)('works at once: its specs pass, and its source and handler work together', async () => {
    const config = join(esm, 'vitest.config.ts');
    // The only package of the template that this repository does not have.
    writeFileSync(config, readFileSync(config, 'utf8').replaceAll(/^.*tsconfigPaths.*$/gm, ''));
    writeFileSync(
      join(esm, 'src/together.spec.ts'),
      `import { Test } from '@nestjs/testing';
import { SPARK_CLOCK } from 'nestjs-spark';
import { SparkTestKit, TestClock } from 'nestjs-spark/testing';
import { DataSource } from 'typeorm';
import { AppModule } from './app.module.js';
import { Challenge } from './challenge/challenge.entity.js';

it('hands the event of a new entity to the handler', async () => {
  const testing = Test.createTestingModule({ imports: [AppModule] });
  const module = await testing.overrideProvider(SPARK_CLOCK).useValue(new TestClock()).compile();
  const kit = new SparkTestKit(await module.init());
  await module.get(DataSource).getRepository(Challenge).save({ title: 'Run 10 km' });
  await kit.drain();
  expect(await kit.deliveries()).toMatchObject([
    { key: 'challenge_created_1', handler: 'challenge-created', state: 'completed' },
  ]);
  await kit.lint();
  await module.close();
});
`,
    );
    const { code, output } = await runProgram(esm, VITEST, ['run']);
    expect(output).toMatch(/Tests +4 passed \(4\)/);
    expect(code).toBe(0);
  });
});
