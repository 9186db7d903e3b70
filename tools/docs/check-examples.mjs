// Compiles every TypeScript example of the documents against the library and the application that they are parts of.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pages, ROOT } from './pages.mjs';

// Below the project, so that packages are found.
const FOLDER = join(ROOT, 'node_modules/.spark-docs');
const EXAMPLE = /^```ts\n([^]*?)^```$/gm;
const OF_APPLICATION = /from '\.\/([\w.-]+)\.js'/g;

rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER);
try {
  process.exitCode = check();
} finally {
  rmSync(FOLDER, { recursive: true, force: true });
}

function check() {
  const places = new Map();
  for (const page of pages) {
    const text = readFileSync(join(ROOT, page), 'utf8');
    for (const { 1: example, index } of text.matchAll(EXAMPLE)) {
      const name = `example-${places.size}`;
      places.set(name, { page, line: text.slice(0, index).split('\n').length });
      writeFileSync(join(FOLDER, `${name}.ts`), `${example}\nexport {};\n`);
      for (const [, module] of example.matchAll(OF_APPLICATION))
        writeFileSync(join(FOLDER, `${module}.ts`), `export * from './application.js';\n`);
    }
  }
  for (const name of ['application.ts', 'modules.d.ts'])
    copyFileSync(join(import.meta.dirname, name), join(FOLDER, name));
  writeFileSync(
    join(FOLDER, 'tsconfig.json'),
    JSON.stringify({
      extends: '../../tsconfig.base.json',
      compilerOptions: {
        noEmit: true,
        composite: false,
        incremental: false,
        noUnusedLocals: false,
        noUnusedParameters: false,
      },
      include: ['*.ts'],
    }),
  );
  const { stdout, status } = spawnSync('npx', ['tsc', '-p', FOLDER, '--pretty', 'false'], {
    cwd: ROOT,
    encoding: 'utf8',
  });
  // An error is reported at the place of its example.
  const errors = stdout.replaceAll(/^\S*?(example-\d+)\.ts\((\d+),(\d+)\)/gm, (_, name, line, column) => {
    const place = places.get(name);
    return `${place.page}:${place.line + Number(line)}:${column}`;
  });
  if (errors) console.error(errors);
  console.log(`${places.size} examples of ${pages.length} pages ${status === 0 ? 'compile' : 'do not all compile'}`);
  return status === 0 && places.size > 0 ? 0 : 1;
}
