import { join } from 'node:path';
import { build, nest, pristineCopy } from './applications.mjs';
import { FIRST, SOURCES, THEN } from './commands.mjs';
import { run } from './run.mjs';

const TARGETS = { '-d': ['-d', 'dist/data-source.js'], '-m': ['-m', 'dist/app.module.js#AppModule'] };
const NAMES = { esm: 'ESM', cjs: 'CommonJS' };

/** Runs the cells: what is checked in one application, on one version of Node.js and one database. It prints a line for each. */
export class Cells {
  passed = 0;
  failed = 0;

  /**
   * @param extent `usual`: each command runs with one target in each application, and both are on each version; `all`: with both in each;
   *   `short`: only those commands that run everywhere
   */
  constructor(home, extent) {
    this.home = home;
    this.extent = extent;
  }

  fail(name, reason) {
    this.failed++;
    console.log(`FAIL  ${name}\n${reason.replaceAll(/^/gm, '      ')}`);
  }

  pass(name, ms) {
    this.passed++;
    console.log(`ok    ${name}  ${(ms / 1_000).toFixed(1)} s`);
  }

  /** @param isFirst whether this is the first database of the application: some cells need one only */
  async check(seat) {
    for (const command of FIRST) await this.command(seat, command);
    await this.application(seat);
    const discarded = await this.discarded(seat);
    for (const command of THEN)
      await this.command(seat, { ...command, words: command.words.replace('<discarded>', discarded) });
    if (!seat.isFirst || this.extent === 'short') return;
    for (const source of SOURCES) await this.source(seat, source);
    await this.schematics(seat);
  }

  /** Runs a command with its targets. */
  async command(seat, { words, by, everywhere, ...expected }) {
    if (!everywhere && (!seat.isFirst || this.extent === 'short')) return;
    const all = by.length === 0 ? [[]] : by.map((target) => TARGETS[target]);
    const targets = this.extent === 'all' ? all : [all.at(seat.kind === 'esm' ? -1 : 0)];
    for (const target of targets) await this.spark(seat, [...words.split(' '), ...target], expected);
  }

  async spark(seat, args, { says, code = 0, until, env }) {
    const ended = await this.run(seat, ['node_modules/nestjs-spark/dist/cli/main.js', ...args], { until, env });
    const name = this.nameOf(seat, `spark ${args.join(' ')}`);
    if ([code].flat().includes(ended.code) && says.test(ended.stdout)) this.pass(name, ended.ms);
    else this.fail(name, `It ended with ${ended.code}, and has to say ${says}:\n${ended.stdout}\n${ended.stderr}`);
  }

  /** What an application does: `shop/check.ts` prints a line for each check. */
  async application(seat) {
    const { code, stdout, stderr, ms } = await this.run(seat, ['dist/check.js']);
    const checks = stdout.split('\n').flatMap((line) => (line.startsWith('{"check"') ? [JSON.parse(line)] : []));
    for (const { check, error } of checks)
      if (error) this.fail(this.nameOf(seat, check), error);
      else this.pass(this.nameOf(seat, check), ms / checks.length);
    if (code !== 0) this.fail(this.nameOf(seat, 'dist/check.js'), `It ended with ${code}:\n${stdout}\n${stderr}`);
  }

  /** The id of the delivery that the application has discarded. */
  async discarded(seat) {
    const args = ['deliveries', 'list', '--state', 'discarded', '--json', ...TARGETS['-d']];
    const { stdout } = await this.run(seat, ['node_modules/nestjs-spark/dist/cli/main.js', ...args]);
    return /"id":"?(\w+)/.exec(stdout)?.[1] ?? 'none';
  }

  /** TypeScript that is not built. */
  async source(seat, { words, target, loader, node, kind = seat.kind, says }) {
    if (kind !== seat.kind) return;
    const name = `spark ${words} ${target.join(' ')}${loader ? ` by ${loader}` : ''}`;
    if (node && isBelow(seat.node.name, node))
      return console.log(`left  ${this.nameOf(seat, name)}: it needs a loader there`);
    const env = loader ? { NODE_OPTIONS: `--import ${loader}` } : {};
    return this.spark(seat, [...words.split(' '), ...target], { says, env });
  }

  /** A pristine application gets Spark, a source and a handler from Nest's CLI, builds and boots. */
  async schematics({ node, kind, database }) {
    const seat = { node, kind, database };
    const name = this.nameOf(seat, 'nest add, nest g source, nest g handler, nest build, spark status');
    const began = performance.now();
    try {
      const folder = pristineCopy(this.home, kind, `${kind}-${node.name.replace(' ', '-')}`);
      for (const args of [
        'add nestjs-spark --skip-install',
        ...['source order', 'handler order-created'].map((what) => `g -c nestjs-spark ${what} --no-spec`),
      ])
        await nest(folder, node.program, args.split(' '));
      await build(folder, node.program);
      const args = ['node_modules/nestjs-spark/dist/cli/main.js', 'sources', 'list', ...TARGETS['-m']];
      const { stdout, stderr } = await run(node.program, args, { cwd: folder, env: database.env });
      if (!/OrderEvents|order/i.test(stdout)) throw new Error(`It has no source:\n${stdout}\n${stderr}`);
      this.pass(name, performance.now() - began);
    } catch (error) {
      this.fail(name, error.message);
    }
  }

  run({ node, kind, database }, args, { env, until } = {}) {
    return run(node.program, args, { cwd: join(this.home, kind), env: { ...database.env, ...env }, until });
  }

  nameOf({ node, kind, database }, what) {
    return `${node.name}  ${NAMES[kind]}  ${database.name}  ${what}`;
  }
}

/** Whether a version such as `Node 20.19.5` is below `22.18`. */
function isBelow(name, least) {
  const [major, minor] = name.replace('Node ', '').split('.').map(Number);
  const [leastMajor, leastMinor] = least.split('.').map(Number);
  return major < leastMajor || (major === leastMajor && minor < leastMinor);
}
