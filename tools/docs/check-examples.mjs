// Compiles every TypeScript example of the documents against the library and the application that they are parts of.
import { spawnSync } from 'node:child_process';
import { copyFileSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { writeExamples } from './examples.mjs';
import { pages, ROOT } from './pages.mjs';

// Below the project, so that packages are found.
const FOLDER = join(ROOT, 'node_modules/.spark-docs');

rmSync(FOLDER, { recursive: true, force: true });
mkdirSync(FOLDER);
try {
  process.exitCode = check();
} finally {
  rmSync(FOLDER, { recursive: true, force: true });
}

function check() {
  const places = new Map();
  for (const [i, page] of pages.entries())
    for (const { file, line } of writeExamples(FOLDER, readFileSync(join(ROOT, page), 'utf8'), `example-${i}`))
      places.set(basename(file, '.ts'), { page, line });
  copyFileSync(join(import.meta.dirname, 'modules.d.ts'), join(FOLDER, 'modules.d.ts'));
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
  const errors = stdout.replaceAll(/^\S*?(example-\d+-\d+)\.ts\((\d+),(\d+)\)/gm, (_, name, line, column) => {
    const place = places.get(name);
    return `${place.page}:${place.line + Number(line)}:${column}`;
  });
  if (errors) console.error(errors);
  console.log(`${places.size} examples of ${pages.length} pages ${status === 0 ? 'compile' : 'do not all compile'}`);
  return status === 0 && places.size > 0 ? 0 : 1;
}
