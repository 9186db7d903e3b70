import { readdirSync, readFileSync, statSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { type Found, ok, warning } from './finding.js';
import type { Patient } from './patient.js';

const CALL = 'enableShutdownHooks';
// In bytes. A larger file is not read.
const LARGEST = 5_000_000;

/**
 * Whether the application is shut down in order. The call stands in the file that creates the application, and a command boots the module
 * alone, so this looks for the call in the files beside the module.
 */
export async function checkShutdownHooks({ application, spark }: Patient): Promise<Found[]> {
  const { listens, moduleFile } = application!;
  if (listens) return [ok('The application listens for SIGTERM.')];
  const folder = dirname(moduleFile);
  const caller = codeIn(folder).find((file) => readFileSync(file, 'utf8').includes(CALL));
  if (caller !== undefined) return [ok(`${basename(caller)} calls ${CALL}().`)];
  return [
    warning(
      `No file in ${folder} calls ${CALL}(). Without it, a process ends at once at SIGTERM, and other processes take its running ` +
        `deliveries over only after worker.leaseTtl, ${spark.settings.worker.lease.ttl} ms.`,
      'Call app.enableShutdownHooks() where the application is created. If another file does, all is well.',
    ),
  ];
}

function codeIn(folder: string): string[] {
  return readdirSync(folder)
    .filter((name) => /\.[cm]?[jt]s$/.test(name))
    .map((name) => join(folder, name))
    .filter((file) => isSmall(file));
}

function isSmall(file: string): boolean {
  const found = statSync(file, { throwIfNoEntry: false });
  return found !== undefined && found.isFile() && found.size <= LARGEST;
}
