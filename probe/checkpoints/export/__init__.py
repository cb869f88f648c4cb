"""Write a checkpoint as DSKD lays its runs out, for its code and other readers.

    OUT/SETTING/args.json                        what the recipe knows of DSKD's arguments
                projector_config.json            structures of the projectors; args.json names this file
                NOTES.txt                        what the layout cannot say
                epoch1_step2000_loss2.7183/      projector.pt, projector_config.json and the student's own files

Nothing is made up: an argument that the recipe does not know is left out, and NOTES.txt says so.
`probe.checkpoints.adopt` reads the directory of the epoch back. ``python -m probe.checkpoints.export`` is the command.
"""
