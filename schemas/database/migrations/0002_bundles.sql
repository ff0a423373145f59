CREATE TABLE "bundle_pin" (
	"only" boolean PRIMARY KEY DEFAULT true NOT NULL,
	"bundle" text NOT NULL,
	"pinned" timestamp with time zone NOT NULL
);
--> statement-breakpoint
ALTER TABLE "bundle" ADD COLUMN "last_active" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "bundle" ADD COLUMN "confirmed" timestamp with time zone;--> statement-breakpoint
ALTER TABLE "bundle" ADD COLUMN "source" text;--> statement-breakpoint
ALTER TABLE "bundle" ADD COLUMN "commit" text;--> statement-breakpoint
REVOKE ALL ON "bundle_pin" FROM PUBLIC, "cedargate_pep";
