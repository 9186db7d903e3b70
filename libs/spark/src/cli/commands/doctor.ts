import { onAnyTables } from '../action.js';
import { commandOf } from '../command.js';
import type { Finding } from '../doctor/finding.js';
import { EXIT } from '../exit-codes.js';
import type { Column } from '../output/table.js';

/** `spark doctor`: what is off, and what to do. It ends with 1 if it has found an error; warnings do not count. */
export const doctorCommand = () =>
  onAnyTables(
    commandOf(
      {
        usage: 'doctor',
        does: 'Checks tables, database, clocks, handlers and, with --module, the application; ends with 1 if something is off',
        examples: ['doctor -d dist/data-source.js', 'doctor -m dist/app.module.js#AppModule --json'],
      },
      (command) => command,
    ),
    async ({ spark, isApplication, target, output, signal }) => {
      const { Patient } = await import('../doctor/patient.js');
      const { examine } = await import('../doctor/examine.js');
      const application = isApplication ? { moduleFile: fileOf(target.module!), listens: listens() } : undefined;
      const { findings, leftOut } = await examine(new Patient(spark, application), signal);
      output.list(FINDINGS, findings, 'Nothing was checked.');
      if (!output.isJson)
        output.section(
          'What to do',
          ADVICE,
          findings.filter(({ advice }) => advice !== undefined),
        );
      if (leftOut.length > 0) output.note(`\nLeft out: ${leftOut.join(', ')}.${isApplication ? '' : WITH_MODULE}`);
      return findings.some(({ status }) => status === 'error') ? EXIT.failed : EXIT.done;
    },
  );

const FINDINGS: readonly Column<Finding>[] = [
  { head: 'CHECK', of: ({ check }) => check },
  { head: 'STATUS', of: ({ status }) => status },
  { head: 'FOUND', of: ({ found }) => found },
];

const ADVICE: readonly Column<Finding>[] = [
  { head: 'CHECK', of: ({ check }) => check },
  { head: 'ADVICE', of: ({ advice }) => advice },
];

const WITH_MODULE = ' --module checks the application, too.';

/** The file of `dist/app.module.js#AppModule`. */
const fileOf = (module: string): string => module.replace(/#[^#/\\]*$/, '');

/** Whether the application listens for SIGTERM: this program has one listener. */
const listens = (): boolean => process.listenerCount('SIGTERM') > 1;
