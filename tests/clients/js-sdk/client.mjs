// The AWS SDK for JavaScript with its default settings against a server named by the environment. Prints a line per step; the
// first thing that is not as it must be ends it with status 1.

import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { Agent } from "node:http";
import { Readable } from "node:stream";
import {
  CompleteMultipartUploadCommand,
  CreateBucketCommand,
  CreateMultipartUploadCommand,
  DeleteBucketCommand,
  DeleteObjectsCommand,
  GetObjectCommand,
  HeadObjectCommand,
  PutObjectCommand,
  S3Client,
  UploadPartCommand,
  ListObjectsV2Command,
  paginateListObjectsV2,
} from "@aws-sdk/client-s3";
import { Upload } from "@aws-sdk/lib-storage";
import { getSignedUrl } from "@aws-sdk/s3-request-presigner";

const MIB = 1 << 20;
const ODD_KEYS = ["a", "a/", "a//b", "a/b", "plus+plus", "two  spaces", "100%25", "Grüße/日本語", "semi;colon&and=equals?", "star*'()!"];
const { ENDPOINT: endpoint, BUCKET: Bucket, AWS_REGION: region } = process.env;

// Credentials come from the environment, as the SDK finds them itself. With an address as endpoint it cannot use host style.
const client = new S3Client({ endpoint, region, forcePathStyle: true });

function bytes(count, seed) {
  const blocks = [];
  for (let block = 0; block * 32 < count; block++) blocks.push(createHash("sha256").update(`${seed} ${block}`).digest());
  return Buffer.concat(blocks).subarray(0, count);
}

async function read(Key, from = client) {
  const answer = await from.send(new GetObjectCommand({ Bucket, Key }));
  return Buffer.from(await answer.Body.transformToByteArray());
}

async function step(name, work) {
  await work();
  console.log(`ok: ${name}`);
}

await client.send(new CreateBucketCommand({ Bucket }));

await step("put, get, compare", async () => {
  for (const size of [0, 1, 4096, 300_000, 9 * MIB]) {
    const Body = bytes(size, size);
    await client.send(new PutObjectCommand({ Bucket, Key: `sized/${size}`, Body, Metadata: { origin: "javascript" } }));
    assert.ok(Body.equals(await read(`sized/${size}`)), `${size} bytes`);
    const head = await client.send(new HeadObjectCommand({ Bucket, Key: `sized/${size}` }));
    assert.equal(head.ContentLength, size);
    assert.deepEqual(head.Metadata, { origin: "javascript" });
  }
  const range = await client.send(new GetObjectCommand({ Bucket, Key: "sized/300000", Range: "bytes=1000-1999" }));
  const part = Buffer.from(await range.Body.transformToByteArray());
  assert.ok(part.equals(bytes(300_000, 300_000).subarray(1000, 2000)), "range");
});

await step("odd keys and listing", async () => {
  for (const key of ODD_KEYS) await client.send(new PutObjectCommand({ Bucket, Key: `odd/${key}`, Body: key }));
  for (const key of ODD_KEYS) assert.equal((await read(`odd/${key}`)).toString(), key);
  const listed = [];
  for await (const page of paginateListObjectsV2({ client, pageSize: 3 }, { Bucket, Prefix: "odd/" }))
    listed.push(...page.Contents.map((object) => object.Key));
  const expected = ODD_KEYS.map((key) => Buffer.from(`odd/${key}`)).sort(Buffer.compare).map(String);
  assert.deepEqual(listed, expected);
});

await step("multipart with unequal parts", async () => {
  const { UploadId } = await client.send(new CreateMultipartUploadCommand({ Bucket, Key: "multipart" }));
  const Parts = [];
  const whole = [];
  for (const [index, size] of [5 * MIB, 5 * MIB + 77_777, 6 * MIB + 1, 12_345].entries()) {
    const PartNumber = index + 1;
    const Body = bytes(size, `part ${PartNumber}`);
    const sent = await client.send(new UploadPartCommand({ Bucket, Key: "multipart", UploadId, PartNumber, Body }));
    Parts.push({ PartNumber, ETag: sent.ETag, ChecksumCRC32: sent.ChecksumCRC32 });
    whole.push(Body);
  }
  await client.send(new CompleteMultipartUploadCommand({ Bucket, Key: "multipart", UploadId, MultipartUpload: { Parts } }));
  assert.ok(Buffer.concat(whole).equals(await read("multipart")), "bytes of the parts");
});

await step("presigned", async () => {
  const where = { Bucket, Key: "presigned key+%" };
  const put = await getSignedUrl(client, new PutObjectCommand(where));
  assert.equal((await fetch(put, { method: "PUT", body: "by fetch" })).status, 200);
  const get = await getSignedUrl(client, new GetObjectCommand(where));
  assert.equal(await (await fetch(get)).text(), "by fetch");
  assert.equal((await fetch(get.replace(/Signature=[0-9a-f]{4}/, "Signature=0000"))).status, 403);
});

await step("wrong secret is refused", async () => {
  const credentials = { accessKeyId: process.env.AWS_ACCESS_KEY_ID, secretAccessKey: "wrong" };
  const stranger = new S3Client({ endpoint, region, forcePathStyle: true, credentials });
  await assert.rejects(stranger.send(new ListObjectsV2Command({ Bucket })), { name: "SignatureDoesNotMatch" });
});

const deleteAll = async () => {
  const { Contents } = await client.send(new ListObjectsV2Command({ Bucket }));
  const Objects = Contents.map(({ Key }) => ({ Key }));
  const answer = await client.send(new DeleteObjectsCommand({ Bucket, Delete: { Objects } }));
  assert.equal(answer.Errors, undefined);
  assert.equal((await client.send(new ListObjectsV2Command({ Bucket }))).KeyCount, 0);
};
await step("delete objects", deleteAll);

await step("upload of a stream", async () => {
  const data = bytes(17 * MIB + 3, "stream");
  const Body = Readable.from((function* () {
    for (let at = 0; at < data.length; at += 100_003) yield data.subarray(at, at + 100_003);
  })());
  await new Upload({ client, params: { Bucket, Key: "stream", Body } }).done();
  assert.ok(data.equals(await read("stream")), "bytes of the stream");
});

await step("host style", async () => {
  // The SDK's default; the look-up stands for the DNS that a user sets up.
  const httpAgent = new Agent({
    lookup: (_name, options, done) => (options.all ? done(null, [{ address: "127.0.0.1", family: 4 }]) : done(null, "127.0.0.1", 4)),
  });
  const hosted = new S3Client({
    endpoint: `http://s3.localhost:${new URL(endpoint).port}`,
    region,
    requestHandler: { httpAgent },
  });
  assert.equal((await read("stream", hosted)).length, 17 * MIB + 3);
  await hosted.send(new PutObjectCommand({ Bucket, Key: "host style", Body: "x" }));
  assert.equal((await read("host style")).toString(), "x");
});

await deleteAll();
await client.send(new DeleteBucketCommand({ Bucket }));
