// Asks who it is, as a program with the AWS SDK for JavaScript v3 does: settings come from the
// environment and ~/.aws only.
//
// usage: javascript_client.mjs [SECONDS]
//
// Prints the ARN that GetCallerIdentity answers. With SECONDS it goes on asking twice a second,
// always with the same client, and ends at the first failure.

import { createRequire } from "node:module";
import { setTimeout as sleep } from "node:timers/promises";

// The program may stand anywhere; its packages are where the test says.
const require = createRequire(process.env.CREDMOUNT_TEST_NODE_MODULES);
const { GetCallerIdentityCommand, STSClient } = require("@aws-sdk/client-sts");

const until = Date.now() + 1000 * Number(process.argv[2] ?? 0);
try {
  const client = new STSClient({});
  for (;;) {
    console.log((await client.send(new GetCallerIdentityCommand({}))).Arn);
    if (Date.now() >= until) break;
    await sleep(500);
  }
} catch (error) {
  console.error(`${error.name}: ${error.message}`);
  process.exitCode = 1;
}
