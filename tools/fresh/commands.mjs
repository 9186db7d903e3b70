/**
 * The commands of the command line, in an order in which they find what they need. Each has its words, the targets with which it runs
 * (`-d` a data source file, `-m` the module), what its output says, and its exit code. `everywhere`: on all databases, and not only on the
 * first one. `<discarded>` stands for the id of the delivery that was discarded.
 */
const both = (words, says, more = {}) => ({ words, by: ['-d', '-m'], says, ...more });
const ofFile = (words, says, more = {}) => ({ words, by: ['-d'], says, ...more });
const ofModule = (words, says, more = {}) => ({ words, by: ['-m'], says, ...more });

/** Those that run on an empty database, before the application has booted. */
export const FIRST = [
  ofFile('migrate status', /\w/, { code: 1, everywhere: true }),
  ofFile('migrate sql', /CREATE TABLE/),
  ofFile('migrate up', /\w/, { everywhere: true }),
  ofFile('migrate status --json', /"pending":\[\]/, { everywhere: true }),
  { words: 'completion bash', by: [], says: /deliveries/ },
  { words: 'completion zsh', by: [], says: /deliveries/ },
];

/** Those that run on what `check.ts` leaves: orders 1 to 3 with their deliveries, one of them discarded, and a row that no sweep has seen. */
export const THEN = [
  both('status', /mails/, { everywhere: true }),
  // It ends with 1 where the server itself is not as it should be.
  both('doctor', /autovacuum|journal/, { code: [0, 1], everywhere: true }),
  both('events list --json', /"key":"order_placed_1"/),
  both('events show order_placed_1', /a@example\.org/),
  both('deliveries list --state discarded --json', /"key":"order_placed_2"/, { everywhere: true }),
  both('deliveries show <discarded>', /There is no such address/),
  both('deliveries retry <discarded> --dry-run', /^1 deliveries would be retried\.$/m),
  ...[ofFile, ofModule].flatMap((by) => [
    by('deliveries retry <discarded> --yes', /^1 deliveries retried\.$/m),
    by('deliveries discard <discarded> --yes', /^1 deliveries discarded\.$/m),
  ]),
  both('deliveries release --all --dry-run', /^0 deliveries would be released\.$/m),
  both('handlers list', /audit/),
  both('handlers pause audit', /audit is paused\./),
  both('handlers resume audit', /audit is no longer paused\./),
  both('rechecks list --json', /^/),
  both('sources list', /orders/),
  both('workers list --json', /^/),
  both('prune --older-than 1d --dry-run', /^0 deliveries, 0 contexts and 0 keys would be removed\.$/m),
  both('sweep pause orders', /The sweeps of orders are paused\./),
  both('sweep resume orders', /The sweeps of orders are no longer paused\./),
  ofModule('explain Order 1', /order_placed_1/),
  ofModule('plan --at +7d --json', /"order_placed_4"/),
  ofModule('plan --summary', /order_placed/),
  ofModule('plan --check --max-new 100', /\w/),
  ofModule('baseline Order --dry-run', /^1 event/m),
  ofModule('sweep --json', /"entered":1/, { everywhere: true }),
  ofModule('work --drain --json', /"completed":2/, { everywhere: true }),
  ofModule('replay --handler audit --repeat --dry-run', /^4 \w+ would be/m),
  ofModule('work', /The shop is open/, { until: 'The shop is open' }),
  both('forget Order 3 --dry-run', /^1 events would be forgotten\.$/m),
  ofModule('forget Order 3 --yes', /^1 events forgotten\.$/m),
  both('erase Order 2 --dry-run', /^1 events would be erased/m),
  ofModule('erase Order 2 --yes', /^1 events erased/m),
];

/**
 * TypeScript that is not built. A Node.js below `node` cannot run it without a loader. The module of an application needs a loader that
 * emits the metadata of decorators, and there is none for CommonJS that imports ES modules as Nest is.
 */
export const SOURCES = [
  { words: 'status', target: ['-d', 'src/data-source.ts'], loader: 'tsx', says: /mails/ },
  { words: 'status', target: ['-d', 'src/plain-data-source.ts'], node: '22.18', says: /mails/ },
  {
    words: 'explain Order 1',
    target: ['-m', 'src/app.module.ts'],
    loader: '@swc-node/register/esm-register',
    kind: 'esm',
    says: /order_placed_1/,
  },
];

/** The commands of a program that none of these runs: `['events show']`. */
export function unchecked(program) {
  const leavesOf = (command, path) =>
    command.commands.length === 0
      ? [path.join(' ')]
      : command.commands.flatMap((inner) => leavesOf(inner, [...path, inner.name()]));
  const checked = [...FIRST, ...THEN].map(({ words }) => `${words} `);
  return leavesOf(program, []).filter((name) => !checked.some((words) => words.startsWith(`${name} `)));
}
