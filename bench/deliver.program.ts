import 'reflect-metadata';
import { arms } from './peers/index.js';

// A process that works: begins when it gets the message to, and reports how many jobs it has handled.
const [name, url] = process.argv.slice(2) as [string, string];
const peer = await arms[name]!(url);
let handled = 0;
let reported = 0;
const report = () => {
  if (handled > reported) process.send!({ handled: handled - reported });
  reported = handled;
};
process.on('message', (message) => {
  if (message === 'begin') {
    setInterval(report, 5);
    void peer.work(() => {
      if (++handled % 1_000 === 0) report();
    });
  } else void peer.close().then(() => process.exit());
});
process.send!('ready');
