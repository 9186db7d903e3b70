import 'reflect-metadata';
import { arms } from './peers/index.js';

// A process that works: begins when it is told to, and tells how many jobs it has handled.
const [name, url] = process.argv.slice(2) as [string, string];
const peer = await arms[name]!(url);
let handled = 0;
let told = 0;
const tell = () => {
  if (handled > told) process.send!({ handled: handled - told });
  told = handled;
};
process.on('message', (message) => {
  if (message === 'begin') {
    setInterval(tell, 5);
    void peer.work(() => {
      if (++handled % 1_000 === 0) tell();
    });
  } else void peer.close().then(() => process.exit());
});
process.send!('ready');
